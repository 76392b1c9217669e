"""
From a desired deployment to the run that its engine starts: argv, environment, files.

Secrets are resolved here and nowhere else: their values go into the child's environment and into no record.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import RunSpec
from agent_haymaker.errors import ManifestError, TryAgain
from agent_haymaker.records import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.inventory import Entry
    from reconciler.model import Desired, Json

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode  # on one line: by far the fastest

INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def run_spec(want: Desired, entry: Entry, environ: Mapping[str, str]) -> RunSpec:
    """
    Give the run that `want` asks for. `environ` is the environment of the caller, read for what is inherited.

    Raises:
        ManifestError: an env reference names something that is not set or cannot be read.
        TryAgain: a file changed after its digest was taken; the next pass sees the new content.
    """
    limits = want.spec.get("run", {}).get("limits") or {}
    declared = want.spec.get("env", ())
    env = _environment(want, entry, environ, declared)
    if secret := [item["name"] for item in declared if "valueFrom" in item]:
        env["HAYMAKER_SECRET_ENV"] = ",".join(secret)  # names only: what the agent must not write down
    return RunSpec(
        argv=want.recipe.argv,
        env=env,
        workspace=entry.id,
        owner=entry.fleet,
        files=_files(want),
        timeout_seconds=want.timeout,
        grace_seconds=want.grace,
        memory_bytes=limits.get("memory"),
        cpu_seconds=limits.get("cpuTime"),
        open_files=limits.get("openFiles"),
    )


def check_environment(want: Desired, entry: Entry, environ: Mapping[str, str]) -> dict[str, str]:
    """Give what the agent's checks get: what it got, without anything that a reference resolved."""
    return _environment(want, entry, environ, [e for e in want.spec.get("env", ()) if "valueFrom" not in e])


def _environment(want: Desired, entry: Entry, environ: Mapping[str, str], declared: Any) -> dict[str, str]:
    env = least_environment(environ, want.recipe.path_prefix)
    env.update(resolve_env(declared, environ, source=want.source.file, folder=want.recipe.source_dir))
    env["HAYMAKER_DEPLOYMENT"] = want.name
    env["HAYMAKER_DEPLOYMENT_ID"] = entry.id
    env["HAYMAKER_SOURCE_DIR"] = want.recipe.source_dir
    env["HAYMAKER_CONFIG"] = "config.json"
    return env


def least_environment(environ: Mapping[str, str], path_prefix: str = "") -> dict[str, str]:
    """Give what every agent gets, and checks too: no credential of the caller is among it."""
    env = {name: environ[name] for name in INHERITED if name in environ}
    env.setdefault("PATH", DEFAULT_PATH)
    if path_prefix:
        env["PATH"] = f"{path_prefix}{os.pathsep}{env['PATH']}"
    return env


def resolve_env(declared: Any, environ: Mapping[str, str], *, source: str, folder: str) -> dict[str, str]:
    """Give name → value for a spec's `env`. Errors quote names, never values."""
    resolved: dict[str, str] = {}
    for item in declared:
        name = item["name"]
        reference = item.get("valueFrom")
        if reference is None:
            resolved[name] = str(item.get("value") or "")
        elif "env" in reference:
            wanted = reference["env"]
            if wanted not in environ:
                raise ManifestError(
                    f"env {name} comes from the environment variable {wanted}, which is not set",
                    where=f"{source} spec.env",
                    fix=f"set {wanted} where haymaker runs, then apply again",
                )
            resolved[name] = environ[wanted]
        else:
            resolved[name] = _from_file(name, Path(folder) / reference["file"], source)
    return resolved


def _from_file(name: str, path: Path, source: str) -> str:
    try:
        return read_regular(path).decode().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"env {name} comes from the file {path.name}, which cannot be read",
            where=f"{source} spec.env",
            fix="make the file readable for the user that haymaker runs as",
        ) from error


def secret_values(spec: Json, environ: Mapping[str, str], folder: str) -> list[str]:
    """Give the values behind a spec's references that can be resolved now, longest first: what to redact."""
    found: set[str] = set()
    for item in spec.get("env", ()):
        if item.get("valueFrom"):
            try:
                found.update(resolve_env([item], environ, source="", folder=folder).values())
            except ManifestError:
                continue  # not resolvable here, so not known here
    return sorted((v for v in found if len(v) >= 4), key=len, reverse=True)


def _files(want: Desired) -> dict[str, bytes]:
    files = {name: text.encode() for name, text in want.recipe.inline_files.items()}
    for name, path in want.recipe.files.items():
        try:
            content = read_regular(Path(path))
        except OSError as error:
            raise TryAgain(
                f"{path} cannot be read any more: {error.strerror}", where=str(want.source), fix="apply again"
            ) from error
        if hashlib.sha256(content).hexdigest() != want.recipe.file_digests.get(name):
            raise TryAgain(f"{path} changed while it was being applied", where=str(want.source), fix="apply again")
        files[name] = content
    files["config.json"] = _encode(dict(want.recipe.config)).encode() + b"\n"
    return files
