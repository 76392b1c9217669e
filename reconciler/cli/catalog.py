"""
Every command's name, its one line of help, and where it lives: what `haymaker --help` needs without importing any.
"""

from __future__ import annotations

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Converge": {
        "apply": ("reconciler.cli.apply:COMMAND", "Make what runs agree with a folder of manifests."),
        "plan": ("reconciler.cli.plan:COMMAND", "Show what apply would do."),
        "diff": ("reconciler.cli.plan:COMMAND", "The same as plan."),
        "delete": ("reconciler.cli.delete:COMMAND", "Clean up everything that a folder's fleet deployed."),
    },
    "Talk": {
        "tell": ("reconciler.cli.tell:COMMAND", "Queue an instruction for an agent's next turn."),
        "memory": ("reconciler.cli.memory:COMMAND", "Show what a deployment remembers over its runs."),
    },
    "Look": {
        "status": ("reconciler.cli.status:COMMAND", "Show the state of one deployment, or of all."),
        "list": ("reconciler.cli.list:COMMAND", "List deployments."),
        "why": ("reconciler.cli.why:COMMAND", "Explain the whole decision about one deployment."),
        "logs": ("reconciler.cli.logs:COMMAND", "Show what an agent wrote."),
        "events": ("reconciler.cli.events:COMMAND", "Show what was done, newest last."),
        "runs": ("reconciler.cli.runs:COMMAND", "Show the history of one deployment's runs."),
        "usage": ("reconciler.cli.usage:COMMAND", "Show what runs used: turns, tokens, money."),
        "wait": ("reconciler.cli.wait:COMMAND", "Wait until deployments reach a state."),
    },
    "Check and learn": {
        "validate": ("reconciler.cli.validate:COMMAND", "Check manifests without touching anything."),
        "explain": ("reconciler.cli.explain:COMMAND", "Explain a field of a manifest."),
        "generate": (
            "reconciler.cli.generate:COMMAND",
            "Make an agent directory of a goal, to run by hand.",
        ),
        "schema": ("reconciler.cli.schema:COMMAND", "Print the JSON Schema of a kind."),
        "doctor": ("reconciler.cli.doctor:COMMAND", "Check this host and haymaker's own records."),
        "workload": ("reconciler.cli.workload:GROUP", "See which workloads can run."),
        "completion": ("reconciler.cli.completion:COMMAND", "Print the completion script of a shell."),
    },
}

COMMANDS: dict[str, tuple[str, str]] = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


def load_attribute(where: str) -> object:
    """Import "module:attribute" and give the attribute."""
    from importlib import import_module

    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)
