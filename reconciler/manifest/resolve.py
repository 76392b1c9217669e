"""
One valid Deployment document, its fleet's defaults and its workload, into one `Desired`.

Looks at the files that the document names, through the tree it came from; never at its neighbours (`crosscheck`).
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.place import COPY, Place
from agent_haymaker.goals.skills import BESIDE_A_GOAL, IN_A_WORKSPACE
from reconciler.digest import TASK_PROGRESS_SECONDS, settings_digest, spec_digest
from reconciler.manifest.checkschemas import inline_schemas
from reconciler.manifest.configschema import GOAL_KEY, check_config, fill_defaults, is_file, unmet
from reconciler.manifest.defaults import merge, rebase
from reconciler.manifest.fields import Wrong
from reconciler.manifest.models import DeploymentSpec
from reconciler.manifest.origin import find_origin, says
from reconciler.manifest.policy import check_budget, check_workload
from reconciler.manifest.trees import Unreadable, is_inside
from reconciler.manifest.validate import check_overlay, field_text
from reconciler.manifest.workloads import installed_code, is_goal_agent
from reconciler.model.desired import RESTARTED_AT, Backoff, Dependency, Desired, Recipe, Source
from reconciler.values import KEYRING_FIX

if TYPE_CHECKING:
    from reconciler.manifest.defaults import FleetView
    from reconciler.manifest.references import References
    from reconciler.manifest.validate import Declared, Path
    from reconciler.manifest.workloads import WorkloadDeclaration


@dataclass(slots=True)
class Resolved:
    desired: Desired
    references: list[str]  # absolute paths of the files it names


class _Resolution:
    """The work on one document. Every complaint is noted; the first few do not hide the rest."""

    def __init__(
        self, declared: Declared, fleet: FleetView, workload: WorkloadDeclaration, references: References
    ) -> None:
        self.declared = declared
        self.fleet = fleet
        self.workload = workload
        self.references = references
        self.folder = os.path.dirname(os.path.join(references.tree.root, declared.file))
        self.used: list[str] = sorted(workload.files)
        self.recipe_files: dict[str, str] = {}
        self.recipe_digests: dict[str, str] = {}
        self.inline_files: dict[str, str] = {}
        self.file_digests: dict[str, str] = {}
        self.criteria: tuple[dict[str, Any], ...] = ()
        self.goal_name, self.goal_at = "", Place()

    def _origin(self, path: Path) -> str:
        if says(self.declared.raw, path):
            return ""
        return find_origin(path, self.fleet, self.workload, self.references.tree)

    def run(self) -> Resolved | None:
        self.declared.origin = self._origin
        before = len(self.declared.flaws.found)
        spec = self._with_defaults()
        if spec is None:
            return None
        check_workload(self.declared, self.fleet, self.workload, spec["workload"]["version"] or "")
        config = self._config(spec)
        spec["goal"], config = self._goal(spec, config)
        if self.fleet.require_checks and not self._has_checks(spec):
            self.declared.complain(
                "the fleet requires checks", "add one to spec.success.checks, or to a criterion of its goal", "success"
            )
        check_budget(self.declared, self.fleet, self.workload, spec, config)
        run_config = self._config_files(config)
        self._check_env(spec)
        checks, used = inline_schemas(self.declared, self.references, self.folder, spec["success"]["checks"])
        spec["success"] = {"checks": checks}
        self.used += used
        for index, item in enumerate(spec["dependsOn"]):
            if item["name"] == self.declared.name:
                self.declared.complain("it depends on itself", "remove it", "dependsOn", index)
        if any(flaw.severity == "error" for flaw in self.declared.flaws.found[before:]):
            return None
        if spec["goal"] is not None:
            run_config = {**run_config, GOAL_KEY: COPY}
        return Resolved(self._desired(spec, config, run_config), sorted(set(self.used)))

    def _with_defaults(self) -> dict[str, Any] | None:
        declared = self.declared
        given = {"run": self.workload.run, "budget": self.workload.budget}
        overlay: dict[str, Any] = {key: value for key, value in given.items() if value}
        overlay = merge(overlay, rebase(self.fleet.defaults, self.fleet.folder, self.folder))
        if not overlay:
            spec = dict(declared.spec)
        else:
            raw = {key: value for key, value in declared.raw.items() if value is not None}
            merged = merge({key: value for key, value in overlay.items() if key != "env"}, raw)
            if overlay.get("env"):
                own = {item["name"] for item in raw.get("env", ())}
                merged["env"] = [item for item in overlay["env"] if item["name"] not in own] + raw.get("env", [])
            try:
                spec = check_overlay(DeploymentSpec, merged)
            except Wrong as error:
                what = f"with the defaults filled in, {field_text(error.at)}: {error}"
                declared.complain(what, "set it here, or correct the default", *error.at)
                return None
        run = dict(spec["run"])
        run["restartPolicy"] = run["restartPolicy"] or ("Always" if run["mode"] == "service" else "Never")
        if run["progressDeadline"] is None and run["mode"] == "task":
            run["progressDeadline"] = TASK_PROGRESS_SECONDS
        spec["run"] = run
        if run["mode"] != "service" and (declared.raw.get("update") or {}).get("autoRevert"):
            declared.complain(
                "autoRevert is for services: a task ends, and what is done is not undone by an older one",
                "remove it, or set run.mode: service", "update", "autoRevert",
            )  # fmt: skip
        if run["mode"] == "service" and (declared.raw.get("success") or {}).get("checks"):
            declared.complain(
                "the checks of a service are never run: they judge a run that came to its end, and a service stays",
                "remove them, or set run.mode: task", "success", "checks", severity="warning",
            )  # fmt: skip
        if run["backoff"]["maxDuration"] < run["backoff"]["duration"]:
            declared.complain("backoff.maxDuration is below backoff.duration", "raise it", "run", "backoff")
        return spec

    def _config(self, spec: dict[str, Any]) -> dict[str, Any]:
        schema = self.workload.config_schema
        given = spec["config"]
        config = fill_defaults(given, schema)
        if spec["goal"] is not None and GOAL_KEY in given:
            self.declared.complain(
                "goal and config.goal_file are both given", "keep one of the two", "config", GOAL_KEY
            )
        has_goal = spec["goal"] is not None or bool(self.workload.goal)
        checked = {**config, GOAL_KEY: COPY} if has_goal and GOAL_KEY in schema else config
        for path, what, fix in check_config(checked, schema):
            self.declared.complain(what, fix, "config", *path)
        for path, what, fix in unmet(config, schema, _given(spec["env"])):
            self.declared.complain(what, fix, "config", *path)
        if spec["goal"] is not None and schema and GOAL_KEY not in schema:
            self.declared.complain(f"workload '{self.workload.name}' takes no goal", "remove it", "goal")
        return config

    def _goal(self, spec: dict[str, Any], config: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        rest = {key: value for key, value in config.items() if key != GOAL_KEY}
        goal, folder = spec["goal"], self.folder
        path: Path = ("goal", "inline" if goal is not None and goal["inline"] is not None else "file")
        if goal is None and GOAL_KEY not in spec["config"] and self.workload.goal:
            goal, folder, path = self.workload.goal, self.workload.directory, ("workload",)
        if goal is not None and goal.get("inline") is not None:
            text = goal["inline"]
            self.inline_files[COPY] = text
            self.goal_name, self.goal_at = "the goal", self._place_inline(path)
            self._read_goal(text, path, config)
            self._take_skills(folder, path)
            return {"inline": text, "sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}, rest
        if goal is not None:
            file = goal["file"]
        elif isinstance(config.get(GOAL_KEY), str):
            file, path = config[GOAL_KEY], ("config", GOAL_KEY)
            folder = self.folder if GOAL_KEY in spec["config"] else self.workload.directory
        else:
            return None, rest
        digest = self._take(file, folder, COPY, path)
        if digest == hashlib.sha256(b"").hexdigest():
            self.declared.complain(f"the goal '{file}' is empty", "write the goal", *path)
        elif digest:
            # From the folder of manifests, as every place is told, where it is in there.
            self.goal_name = self.recipe_files[COPY].removeprefix(f"{self.references.tree.root}/")
            self.goal_at = Place(self.goal_name)
            self._read_goal_file(path, config)
            self._take_skills(os.path.dirname(self.recipe_files[COPY]), path)
        return {"file": file, "sha256": digest}, rest

    def _take_skills(self, beside: str, path: Path) -> None:
        """Hand over the skills that stand beside the goal: what they say is part of what the agent is asked."""
        folder = os.path.join(beside, BESIDE_A_GOAL)
        try:
            looked, files = self.references.skills(folder, trusted=_trusted(self.workload, folder))
        except Unreadable as error:
            self.declared.complain(f"{BESIDE_A_GOAL}/ beside the goal: {error.what}", error.fix, *path)
            return
        self.used += looked
        for file in files:
            self.file_digests[f"{BESIDE_A_GOAL}/{file}"] = self._take(file, folder, f"{IN_A_WORKSPACE}/{file}", path)

    def _place_inline(self, path: Path) -> Place:
        """Give the place of a goal that stands in a manifest: line for line where it is a literal block (`|`)."""
        if path == ("workload",):
            return Place(f"{self.workload.source} goal.inline")
        document = self.declared.document
        if first := document.first_line(("spec", *path)):
            return Place(self.declared.file, first)
        line, _ = document.locate(("spec", *path))
        return Place(f"{self.declared.file}:{line} spec.goal.inline")

    def _read_goal_file(self, path: Path, config: dict[str, Any]) -> None:
        if not is_goal_agent(self.workload):
            return
        try:
            text = self.references.text(self.recipe_files[COPY])
        except Unreadable as error:
            self.declared.complain(f"'{self.goal_name}': {error.what}", error.fix, *path)
        except UnicodeDecodeError:
            self.declared.complain(f"the goal '{self.goal_name}' is not UTF-8", "save it as UTF-8", *path)
        else:
            self._read_goal(text, path, config)

    def _read_goal(self, text: str, path: Path, config: dict[str, Any]) -> None:
        """Read a goal agent's own success criteria: those with a check decide GoalMet beside `success.checks`."""
        if not is_goal_agent(self.workload):
            return  # to any other workload a goal is opaque bytes
        from agent_haymaker.goals.commands import EMPTY_FIX, NO_STEPS_FIX
        from agent_haymaker.goals.reading import read_goal

        try:
            goal = read_goal(text, self.goal_at)
            goal.goal()  # what the agent would refuse is refused here
            criteria = goal.criteria()
            if config.get("sdk") == "script" and not goal.steps():
                blocks = f" ({named})" if (named := goal.why_no_steps()) else ""
                what = f"{self.goal_name} has no step that `sdk: script` can run{blocks}: "
                what += "the run will end at once, its goal not met"
                self.declared.complain(what, NO_STEPS_FIX, *path, severity="warning")
            elif config.get("sdk") != "script" and not goal.document.blocks:
                what = f"{self.goal_name} is nothing but a title, and that is all its agent will be asked"
                self.declared.complain(what, EMPTY_FIX, *path, severity="warning")
            for note in goal.notes:
                if note.fix:
                    what = f"{self.goal_at.at(note.line)}: {note.text}"
                    self.declared.complain(what, note.fix, *path, severity="warning")
        except ManifestError as error:
            self.declared.complain(f"{error.where}: {error.what}", error.fix or "correct the goal", *path)
            return
        self.criteria = tuple(
            {"text": c.text, "line": c.line, "check": asdict(c.check) if c.check else None} for c in criteria
        )

    def _has_checks(self, spec: dict[str, Any]) -> bool:
        return bool(spec["success"]["checks"]) or any(c["check"] for c in self.criteria)

    def _config_files(self, config: dict[str, Any]) -> dict[str, Any]:
        """Take note of every file that the config names; return the config as the agent will see it."""
        schema, given = self.workload.config_schema, self.declared.raw.get("config") or {}
        shown = dict(config)
        for key in config:
            folder = self.folder if key in given else self.workload.directory
            shown[key] = self._file_value(config[key], schema.get(key) or {}, (key,), folder)
        return shown

    def _file_value(self, value: Any, entry: dict[str, Any], path: Path, folder: str) -> Any:
        if isinstance(value, str) and is_file(str(path[-1]) if len(path) == 1 else "", entry):
            words = ".".join(map(str, path))
            place = f"files/{re.sub(r'[^A-Za-z0-9_-]', '_', words)}/{os.path.basename(value) or 'file'}"
            self.file_digests[words] = self._take(value, folder, place, ("config", *path))
            return place
        if isinstance(value, dict) and entry.get("properties"):
            known = entry["properties"]
            return {
                key: self._file_value(item, known.get(key) or {}, (*path, key), folder) for key, item in value.items()
            }
        if isinstance(value, list) and isinstance(entry.get("items"), dict):
            return [self._file_value(item, entry["items"], (*path, i), folder) for i, item in enumerate(value)]
        return value

    def _take(self, file: str, folder: str, place: str, path: Path) -> str:
        try:
            absolute, digest = self.references.digest(folder, file, trusted=_trusted(self.workload, folder))
        except Unreadable as error:
            self.declared.complain(f"'{file}': {error.what}", error.fix, *path)
            return ""
        self.used.append(absolute)
        self.recipe_files[place] = absolute
        self.recipe_digests[place] = digest
        return digest

    def _check_env(self, spec: dict[str, Any]) -> None:
        normal = []
        for index, item in enumerate(spec["env"]):
            source = {kind: value for kind, value in (item["valueFrom"] or {}).items() if value is not None}
            normal.append({"name": item["name"], **({"valueFrom": source} if source else {"value": item["value"]})})
            if "file" in source:
                try:
                    self.references.check_place(self.folder, source["file"])
                except Unreadable as error:
                    self.declared.complain(
                        f"'{source['file']}': {error.what}", error.fix, "env", index, "valueFrom", "file"
                    )
            if "keyring" in source and find_spec("keyring") is None:
                self.declared.complain(
                    "the keyring is not installed", KEYRING_FIX, "env", index, "valueFrom", "keyring"
                )
        spec["env"] = normal

    def _desired(self, spec: dict[str, Any], config: dict[str, Any], run_config: dict[str, Any]) -> Desired:
        declared, workload, run = self.declared, self.workload, spec["run"]
        in_place = sorted(key for key, entry in workload.config_schema.items() if entry.get("restart") is False)
        spec = {
            **spec,
            "budget": {key: value for key, value in (spec["budget"] or {}).items() if value is not None} or None,
            "workload": {**spec["workload"], "code": workload.code},
            "config": config,
            "files": dict(sorted(self.file_digests.items())),
            "inPlaceConfig": [key for key in in_place if key in config],
        }
        backoff = run["backoff"]
        auto_revert = spec["update"]["autoRevert"] and run["mode"] == "service"
        return Desired(
            name=declared.name,
            workload=workload.name,
            digest=spec_digest(spec, restarted_at=declared.annotations.get(RESTARTED_AT, "")),
            source=Source(declared.file, declared.line),
            spec=spec,
            recipe=Recipe(
                argv=workload.argv,
                path_prefix=workload.path_prefix,
                workload_dir=workload.directory,
                source_dir=self.folder,
                config=run_config,
                files=self.recipe_files,
                file_digests=self.recipe_digests,
                inline_files=self.inline_files,
                goal_at=str(self.goal_at) if self.goal_name else "",
                code_files=workload.files if auto_revert else {},
                installed=installed_code(workload) if auto_revert else {},
            ),
            labels=declared.labels,
            annotations=declared.annotations,
            stopped=spec["desiredState"] == "stopped",
            suspend=spec["suspend"],
            service=run["mode"] == "service",
            restart_policy=run["restartPolicy"],
            backoff_limit=run["backoffLimit"],
            backoff=Backoff(backoff["duration"], backoff["factor"], backoff["maxDuration"]),
            timeout=run["timeout"],
            grace=run["terminationGracePeriod"],
            side_effects=run["sideEffects"],
            progress_deadline=run["progressDeadline"] or None,
            on_stalled=run["onStalled"],
            strategy=spec["update"]["strategy"],
            auto_revert=auto_revert,
            has_checks=self._has_checks(spec),
            criteria=self.criteria,
            depends_on=tuple(Dependency(item["name"], item["condition"]) for item in spec["dependsOn"]),
            deletion_policy=spec["deletionPolicy"],
            protect=spec["protect"],
            renamed_from=tuple(spec["renamedFrom"]),
            settings=settings_digest(spec, declared.labels, declared.annotations),
        )


def resolve(
    declared: Declared, fleet: FleetView, workload: WorkloadDeclaration, references: References
) -> Resolved | None:
    """Return what a document desires, or None after noting everything that keeps it from being known."""
    return _Resolution(declared, fleet, workload, references).run()


def _given(env: list[dict[str, Any]]) -> dict[str, str | None]:
    """Map the names that an env sets to their values, None where a value comes from elsewhere."""
    return {item["name"]: None if item["valueFrom"] else str(item["value"] or "") for item in env}


def _trusted(workload: WorkloadDeclaration, folder: str) -> str:
    return workload.directory if workload.origin == "installed" and is_inside(folder, workload.directory) else ""
