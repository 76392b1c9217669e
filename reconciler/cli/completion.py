"""
`haymaker completion`: the script that lets a shell complete commands, options and deployment names.
"""

from __future__ import annotations

from reconciler.cli.spec import Argument, Command

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_HAYMAKER_COMPLETE"


def run(*, shell: str) -> int:
    from click.shell_completion import get_completion_class

    from agent_haymaker.errors import UsageError
    from reconciler.cli.clicked import root

    kind = get_completion_class(shell) if shell in SHELLS else None
    if kind is None:
        raise UsageError(f"there is no completion for the shell {shell!r}", fix=f"choose one of {', '.join(SHELLS)}")
    script = kind(root(), {}, "haymaker", VARIABLE)
    # As `source()` does, without asking which version of the shell this host has: it may be for another.
    print((script.source_template % script.source_vars()).strip())
    return 0


COMMAND = Command(
    run,
    help="""Print the completion script of bash, zsh or fish.

    bash: put `source <(haymaker completion bash)` into ~/.bashrc. zsh: the same into ~/.zshrc. fish: write it to
    ~/.config/fish/completions/haymaker.fish.
    """,
    takes=(Argument("shell", "SHELL", completes="shell"),),
)
