"""
What can run: the workloads that a folder declares and those that are installed.

An installed workload is found without running a line of its code: entry point, then the folder of its top package,
then the `workload.yaml` in that folder, or beside it in an editable checkout.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.lean import asdict, dataclass, field, replace
from agent_haymaker.records import read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.manifest.validate import Declared

GROUP = "agent_haymaker.workloads"
GOAL_RUNTIME = "goal-agent"
"""The installed workload that runs what is of type prompt."""
_CACHE_VERSION = 4
_OURS = "agent-haymaker"


@dataclass(frozen=True, slots=True)
class WorkloadDeclaration:
    """One workload, as workload.yaml declares it. `argv` is `command` with its own paths made absolute."""

    name: str
    version: str = "0.0.0"
    type: str = "runtime"
    description: str = ""
    entrypoint: str | None = None
    command: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    config_schema: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)  # defaults of spec.run, as written
    budget: dict[str, Any] = field(default_factory=dict)  # defaults of spec.budget, as written
    credentials: tuple[dict[str, Any], ...] = ()
    package: dict[str, Any] = field(default_factory=dict)
    origin: str = "folder"  # folder, installed
    source: str = ""  # where it is declared: file:line in the folder, or an absolute path
    directory: str = ""  # where workload.yaml stands, absolute
    code: str = ""  # what stands for its code in digests
    path_prefix: str = ""  # where its programs are looked up before PATH
    files: dict[str, str] = field(default_factory=dict)  # absolute path -> sha256, of the ./ elements of command
    goal: dict[str, str] = field(default_factory=dict)  # type prompt: {file} beside workload.yaml, or {inline}
    runs_on: str = ""  # the installed workload whose command this one uses
    runs_on_key: str = ""  # ... as it was then
    runs_on_code: str = ""  # ... and its code
    problem: str = ""  # installed, but it cannot be used: why

    @property
    def unrunnable(self) -> str:
        """Why no deployment can use it, though nothing is wrong with it; "" where one can."""
        return "" if self.command or self.type == "prompt" else "has no command; a Python class is not supported yet"

    @property
    def line(self) -> int:
        """The line that it is declared in, where it is declared in the folder."""
        line = self.source.rpartition(":")[2]
        return int(line) if line.isdigit() else 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> WorkloadDeclaration:
        record = {**record, "command": tuple(record["command"]), "argv": tuple(record["argv"])}
        record["credentials"] = tuple(record["credentials"])
        return cls(**record)

    def key(self) -> str:
        """Return a digest of everything here that bears on deployments."""
        import hashlib  # as in `digest`

        words = {name: value for name, value in self.to_json().items() if name not in ("description", "source")}
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:24]


def make_declaration(
    declared: Declared, directory: str, read: Callable[[str], tuple[str, str]], **rest: Any
) -> WorkloadDeclaration | None:
    """
    Turn a valid Workload document into a declaration, or give None after noting its flaws.

    `read` takes a path beside workload.yaml and gives (absolute path, sha256); it raises Unreadable.
    """
    from reconciler.manifest.configschema import check_schema
    from reconciler.manifest.fields import Wrong
    from reconciler.manifest.models import DeploymentSpec
    from reconciler.manifest.trees import Unreadable
    from reconciler.manifest.validate import LATER, check_overlay, refuse_later

    spec, good = declared.spec, True
    schema_key = "config_schema" if declared.is_flat else "configSchema"
    for path, what, fix, severity in check_schema(spec["configSchema"], (schema_key,)):
        declared.complain(what, fix, *path, severity=severity)
        good = good and severity != "error"
    if spec["run"]:
        try:
            normal = check_overlay(DeploymentSpec, {"workload": declared.name, "run": spec["run"]})
        except Wrong as error:
            declared.complain(str(error), error.fix, *error.at)
            good = False
        else:
            good = not refuse_later(declared, LATER, normal) and good
    foreign = "command" if spec["type"] == "prompt" else "goal"
    if spec[foreign] is not None:
        declared.complain(f"type {spec['type']} takes no {foreign}", "remove it, or change the type", foreign)
        good = False
    argv, files = [], {}
    for index, element in enumerate(spec["command"] or ()):
        if not element.startswith(("./", "../")):
            argv.append(element)
            continue
        try:
            absolute, digest = read(element)
        except Unreadable as error:
            declared.complain(f"'{element}': {error.what}", error.fix, "command", index)
            good = False
            continue
        argv.append(absolute)
        files[absolute] = digest
    if not good:
        return None
    import hashlib  # as in `digest`

    version = rest.pop("version", None) or spec["version"]
    code = json.dumps([spec["type"], spec["command"], spec["entrypoint"], sorted(files.values())])
    return WorkloadDeclaration(
        name=declared.name,
        version=version,
        type=spec["type"],
        description=spec["description"],
        entrypoint=spec["entrypoint"] or spec["package"]["entrypoint"],
        command=tuple(spec["command"] or ()),
        argv=tuple(argv),
        config_schema=spec["configSchema"],
        run=spec["run"],
        budget=dict(declared.raw.get("budget") or {}),
        credentials=tuple(spec["credentials"]),
        package={key: value for key, value in spec["package"].items() if value is not None},
        goal={key: value for key, value in (spec["goal"] or {}).items() if value is not None},
        directory=directory,
        code=f"{version}+{hashlib.sha256(code.encode()).hexdigest()[:16]}",
        files=files,
        **rest,
    )


def running_on(made: WorkloadDeclaration, installed: WorkloadDeclaration | None) -> WorkloadDeclaration:
    """
    Return a declaration that has no command of its own with the command of the installed workload that runs it.

    A prompt takes the settings of its runtime too, its own words for them first.
    """
    if installed is None or installed.problem or not installed.command:
        return made
    schema, code = made.config_schema, installed.code
    if made.type == "prompt":
        own = {key: {**installed.config_schema.get(key, {}), **entry} for key, entry in schema.items()}
        schema, code = {**installed.config_schema, **own}, f"{made.code} on {code}"
    return replace(
        made,
        command=installed.command,
        argv=installed.argv,
        code=code,
        files=installed.files,
        path_prefix=installed.path_prefix,
        config_schema=schema,
        runs_on=installed.name,
        runs_on_key=installed.key(),
        runs_on_code=installed.code,
    )


def installed_code(made: WorkloadDeclaration) -> dict[str, str]:
    """Give the installed workload whose command this one is, with its code; {} where the command is its folder's."""
    if made.runs_on:
        return {made.runs_on: made.runs_on_code}
    return {made.name: made.code} if made.origin == "installed" else {}


def is_goal_agent(made: WorkloadDeclaration) -> bool:
    """Tell whether the goal-agent runtime runs it: then its goal is markdown, in the language of goals."""
    return made.runs_on == GOAL_RUNTIME or (made.name == GOAL_RUNTIME and made.origin == "installed")


def find_workload(
    name: str, *, home: Path | None = None, folder: dict[str, WorkloadDeclaration] | None = None
) -> WorkloadDeclaration | None:
    """Return the workload of this name: the folder's own first, then an installed one. None: there is none."""
    if folder and name in folder:
        return folder[name]
    return installed_workloads(home).get(name)


def installed_workloads(home: Path | None = None, *, write: bool = True) -> dict[str, WorkloadDeclaration]:
    """
    Return the installed workloads by name. One that cannot be used has its `problem` set.

    With a `home` the answer is kept in its cache (unless `write` is False), and holds while no folder on `sys.path`
    and no workload.yaml changed.
    """
    cache = home / "cache" / "workloads.json" if home is not None else None
    key = _environment()
    if cache is not None:
        try:
            kept = json.loads(read_regular(cache))
            if kept["version"] == _CACHE_VERSION and kept["key"] == key and _unchanged(kept["stamps"]):
                return {record["name"]: WorkloadDeclaration.from_json(record) for record in kept["workloads"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # no cache, or not ours: look again
    found = _discover()
    if cache is not None and write:
        _keep(cache, key, found)
    return found


def _discover() -> dict[str, WorkloadDeclaration]:
    from importlib.metadata import entry_points

    found: dict[str, WorkloadDeclaration] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name not in found:
            distribution = point.dist
            owner = distribution.name if distribution is not None else ""
            version = distribution.version if distribution is not None else ""
            found[point.name] = _read_installed(point.name, point.value, owner, version)
    runtime = found.get(GOAL_RUNTIME)
    return {name: running_on(made, runtime) if made.type == "prompt" else made for name, made in found.items()}


def _read_installed(name: str, entrypoint: str, owner: str, version: str) -> WorkloadDeclaration:
    import hashlib  # as in `digest`

    from reconciler.manifest.configschema import installed_schema
    from reconciler.manifest.problems import Flaws
    from reconciler.manifest.trees import Unreadable, WorkTree
    from reconciler.manifest.validate import declare
    from reconciler.manifest.yamlreader import MAX_BYTES, read_documents

    def unusable(why: str) -> WorkloadDeclaration:
        return WorkloadDeclaration(
            name,
            version=version,
            entrypoint=entrypoint,
            origin="installed",
            source=str(path or entrypoint),
            problem=why,
        )

    path = _manifest_of(entrypoint)
    if path is None:
        return unusable(f"its package {entrypoint.partition(':')[0]} has no workload.yaml")
    flaws = Flaws()
    tree = WorkTree(path)
    try:
        content, _ = tree.read(str(path), MAX_BYTES)
        documents, faults = read_documents(content.decode())
    except Unreadable as error:
        return unusable(error.what)
    except UnicodeDecodeError:
        return unusable("its workload.yaml is not UTF-8")
    if faults or len(documents) != 1:
        return unusable(faults[0].what if faults else "its workload.yaml must hold one document")

    def read(element: str) -> tuple[str, str]:
        absolute = os.path.normpath(path.parent / element)
        content, _ = tree.read(absolute, 64 << 20)
        return absolute, hashlib.sha256(content).hexdigest()

    declared = declare(documents[0], path.name, flaws)
    if declared is not None and declared.kind == "Workload":
        # What comes with haymaker is versioned by its workload.yaml: an upgrade of haymaker restarts nobody.
        code_version = None if owner.lower().replace("_", "-") == _OURS else version
        made = make_declaration(
            declared, str(path.parent), read, version=code_version, origin="installed", source=str(path),
            path_prefix=os.path.dirname(sys.executable),
        )  # fmt: skip
        if made is not None:
            made = replace(made, config_schema=installed_schema(made.config_schema))
            return (
                made
                if made.name == name
                else unusable(f"its workload.yaml names {made.name!r}, its entry point {name!r}")
            )
    wrong = next((flaw for flaw in flaws.found if flaw.severity == "error"), None)
    return unusable(f"{wrong.what} ({wrong.field or path.name})" if wrong else "its workload.yaml declares no workload")


def _manifest_of(entrypoint: str) -> Path | None:
    """Find workload.yaml in the folder of the entry point's top package, or beside that folder."""
    from importlib.util import find_spec

    try:
        spec = find_spec(entrypoint.partition(":")[0].partition(".")[0].strip())
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    if not folders and spec.origin:
        folders = [Path(spec.origin).parent]
    for folder in (*folders, *(folder.parent for folder in folders)):
        for name in ("workload.yaml", "workload.yml"):
            if (folder / name).is_file():
                return folder / name
    return None


def _environment() -> list[Any]:
    """Return what identifies this Python environment, to the change of any folder that it imports from."""
    places = []
    for entry in sys.path:
        try:
            status = os.stat(entry or ".")
            places.append([entry, status.st_mtime_ns, status.st_ino])
        except OSError:
            continue
    return [sys.prefix, list(sys.version_info[:3]), places]


def _unchanged(stamps: dict[str, list[int]]) -> bool:
    return all(_stamp(path) == stamp for path, stamp in stamps.items())


def _stamp(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _keep(cache: Path, key: list[Any], found: dict[str, WorkloadDeclaration]) -> None:
    from reconciler.manifest.quietly import write_quietly

    paths = {path for made in found.values() for path in (made.source, *made.files) if os.path.isabs(path)}
    stamps = {path: stamp for path in sorted(paths) if (stamp := _stamp(path)) is not None}
    record = {
        "version": _CACHE_VERSION, "key": key, "stamps": stamps,
        "workloads": [made.to_json() for made in found.values()],
    }  # fmt: skip
    write_quietly(cache, json.dumps(record).encode())
