"""
`haymaker workload list` and `info`: what can run, without importing a line of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import UsageError, WorkloadError
from reconciler.app import App
from reconciler.cli.common import FOLDER, output_option
from reconciler.cli.output import DOCUMENTS, columns, document
from reconciler.cli.spec import Argument, Command

if TYPE_CHECKING:
    from reconciler.manifest.workloads import WorkloadDeclaration


def run_list(*, filename: str, output: str) -> int:
    found = declared(filename)
    if output in DOCUMENTS:
        print(document({"kind": "WorkloadList", "items": [_to_json(w) for w in found.values()]}, output))
    elif output == "name":
        print("\n".join(found))
    elif not found:
        print("no workload is declared or installed")
    else:
        rows = [(w.name, w.version, w.type, w.origin, _problem(w) or w.description) for w in found.values()]
        print(columns(("NAME", "VERSION", "TYPE", "FROM", "DESCRIPTION"), rows))
    return 0


def run_info(*, name: str, filename: str, output: str) -> int:
    found = declared(filename)
    if name not in found:
        from difflib import get_close_matches

        near = get_close_matches(name, found, 1, 0.6)
        fix = f"did you mean {near[0]}?" if near else "`haymaker workload list` shows what there is"
        raise WorkloadError(f"no workload is named {name!r}", fix=fix)
    whole = output in DOCUMENTS
    print(document({"kind": "Workload", **_to_json(found[name])}, output) if whole else _text(found[name]))
    return 0


def declared(filename: str) -> dict[str, WorkloadDeclaration]:
    """Give every workload by name: the folder's own, then installed ones that it does not hide."""
    from reconciler.load import load
    from reconciler.manifest.workloads import installed_workloads

    app = App()
    home = app.home if app.home.is_dir() else None
    found = dict(installed_workloads(home))
    folder = Path(filename)
    if folder.exists():
        found |= load(folder, home=home).declared_workloads
    elif filename != str(FOLDER.default):
        raise UsageError("there is no such folder or file", where=filename, fix="correct the path given to -f")
    return dict(sorted(found.items()))


def _problem(workload: WorkloadDeclaration) -> str:
    """Say why no deployment can use it, "" where one can."""
    return workload.problem or (f"it {workload.unrunnable}" if workload.unrunnable else "")


def _to_json(workload: WorkloadDeclaration) -> dict[str, Any]:
    return {
        "name": workload.name,
        "version": workload.version,
        "type": workload.type,
        "description": workload.description,
        "origin": workload.origin,
        "source": workload.source,
        "command": list(workload.command) or None,
        "entrypoint": workload.entrypoint,
        "configSchema": workload.config_schema,
        "goal": workload.goal or None,
        "credentials": list(workload.credentials),
        "problem": _problem(workload) or None,
    }


def _text(workload: WorkloadDeclaration) -> str:
    lines = [f"{workload.name}  {workload.version}"]

    def say(word: str, text: object) -> None:
        if text:
            lines.append(f"  {word:<11} {text}")

    say("problem", _problem(workload))
    say("description", workload.description)
    say("type", workload.type)
    say("from", f"{workload.origin}: {workload.source}")
    say("command", " ".join(workload.command))
    say("entrypoint", workload.entrypoint)
    say("goal", workload.goal.get("file", "in its workload.yaml") if workload.goal else "")
    if workload.config_schema:
        rows = [_setting(key, entry) for key, entry in workload.config_schema.items()]
        lines += ["", columns(("CONFIG", "TYPE", "DEFAULT", "MEANING"), rows)]
    if workload.credentials:
        rows = [(c.get("name", ""), "yes" if c.get("required") else "no", "", c.get("description", ""))
                for c in workload.credentials]  # fmt: skip
        lines += ["", columns(("CREDENTIAL", "REQUIRED", "", "MEANING"), rows)]
    return "\n".join(lines)


def _setting(key: str, entry: dict[str, Any]) -> tuple[str, str, str, str]:
    choices = entry.get("enum")
    kind = " | ".join(map(str, choices)) if choices else str(entry.get("type", "any"))
    bounds = [f"{word} {entry[word]}" for word in ("min", "max") if word in entry]
    default = "required" if entry.get("required") else str(entry.get("default", ""))
    return key, f"{kind} ({', '.join(bounds)})" if bounds else kind, default, str(entry.get("description", ""))


LIST = Command(
    run_list,
    help="""List the workloads that this folder declares and those that are installed, and why one cannot run.""",
    takes=(FOLDER, output_option("table", "json", "yaml", "name")),
)
INFO = Command(
    run_info,
    help="""Show what a workload is and what its config may hold.""",
    takes=(Argument("name", "NAME"), FOLDER, output_option("text", "json", "yaml")),
)
GROUP = {
    "help": "See which workloads can run.",
    "commands": {
        "list": ("reconciler.cli.workload:LIST", "List the workloads that can run."),
        "info": ("reconciler.cli.workload:INFO", "Show what a workload is and takes."),
    },
}
