"""
From a desired deployment to the run that its engine starts: argv, environment, files.

The values of secrets go into the child's environment and into no record; `values` resolves them.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import RunSpec
from agent_haymaker.errors import TryAgain
from agent_haymaker.goals.place import VARIABLE
from agent_haymaker.records import read_regular
from reconciler.values import least_environment, resolve_env, secret_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.inventory import Entry
    from reconciler.model.desired import Desired
    from reconciler.model.lazyjson import Json

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode  # on one line: by far the fastest


CONFIG_FILE = "config.json"  # in the workspace
CAPS = {f: f"HAYMAKER_BUDGET_MAX_{f.upper()}" for f in ("turns", "tokens", "cost_usd")}
_PRICE_WORDS = {"inputPerMTok": "input", "outputPerMTok": "output", "cachedInputPerMTok": "cached"}
PRICES = "HAYMAKER_BUDGET_PRICES"


def run_spec(
    want: Desired, entry: Entry, environ: Mapping[str, str], *, caps: Mapping[str, float] | None = None,
    prices: Mapping[str, Json] | None = None,
) -> RunSpec:  # fmt: skip
    """
    Give the run that `want` asks for. `environ` is the environment of the caller, read for what is inherited.

    `caps` are what the run may use, `prices` the fleet's.

    Raises:
        ManifestError: an env reference names something that is not set, fails or cannot be read.
        TryAgain: a file changed after its digest was taken; the next pass sees the new content.
    """
    limits = want.spec.get("run", {}).get("limits") or {}
    declared = want.spec.get("env", ())
    env = _environment(want, entry, environ, declared)
    if secret := secret_names(declared):
        env["HAYMAKER_SECRET_ENV"] = ",".join(secret)  # names only: what the agent must not write down
    env |= {CAPS[figure]: f"{value:.10g}" for figure, value in (caps or {}).items()}
    if price := (prices or {}).get(str(want.recipe.config.get("model", ""))):
        env[PRICES] = _encode({_PRICE_WORDS[key]: value for key, value in price.items()})
    return RunSpec(
        argv=want.recipe.argv,
        env=env,
        workspace=entry.id,
        owner=entry.fleet,
        files=run_files(want),
        timeout_seconds=want.timeout,
        grace_seconds=want.grace,
        memory_bytes=limits.get("memory"),
        cpu_seconds=math.ceil(limits["cpuTime"]) if limits.get("cpuTime") else None,  # the kernel counts whole ones
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
    env["HAYMAKER_CONFIG"] = CONFIG_FILE
    if want.recipe.goal_at:
        env[VARIABLE] = want.recipe.goal_at
    return env


def run_files(want: Desired) -> dict[str, bytes]:
    """
    Give what a run finds in its workspace, by its place there.

    Raises:
        TryAgain: a file changed after its digest was taken.
    """
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
    files[CONFIG_FILE] = config_file(want)
    return files


def config_file(want: Desired) -> bytes:
    """Give what an agent reads its settings from."""
    return _encode(dict(want.recipe.config)).encode() + b"\n"
