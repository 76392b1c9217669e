"""
Run success checks: outside the agent, without credentials, in its workspace.

A command check is a run of its own on the same engine, so its time limit and the end of its whole process tree
are those of any run. A check never decides by what the agent says of itself.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from agent_haymaker.engines import RunSpec, RunState
from agent_haymaker.errors import TryAgain, WorkloadError
from reconciler.checkspec import CHECK_GRACE_SECONDS, CHECK_SECONDS, check_handle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_haymaker.engines import Engine, Handle, Observation
    from reconciler.masking import Mask

OUTPUT_BYTES = 2000
LATE_SECONDS = 2.0  # beyond its time limit and its grace, after which its engine will not end a check any more
MAX_JSON_BYTES = 64 * 1024 * 1024


async def run_checks(
    engine: Engine,
    run: Handle,
    checks: Sequence[Mapping[str, Any]],
    env: Mapping[str, str],
    *,
    workspace: str,
    owner: str,
    mask: Mask,
) -> list[dict[str, Any]]:
    """
    Give each check's verdict: `name`, `passed` (None: not checked), and in `output` what it said or why it failed; and
    `where` it stands, if that is in a goal.
    What a check says may be what the agent wrote: `mask` takes the secrets out.

    Checks run one after the other, in the order written: a later one may rely on an earlier one.

    Raises:
        TryAgain, PlatformError: a check could not be run or its end be seen, which says nothing of the goal. What has
            ended is not run again.
    """
    verdicts = []
    for number, check in enumerate(checks):
        if "file" in check:
            problem = (await mask(_file_problem(engine, run, check["file"]).encode(errors="replace")))[:OUTPUT_BYTES]
            verdict = {"name": check["name"], "passed": not problem, "output": problem}
        elif "command" not in check:
            verdict = {"name": check["name"], "passed": None, "output": "not checked"}
        else:
            verdict = await _run_command(
                engine, check_handle(run, number), check, env, workspace=workspace, owner=owner, mask=mask
            )
        verdicts.append({**verdict, "where": check["where"]} if "where" in check else verdict)
    return verdicts


def _file_problem(engine: Engine, run: Handle, wanted: Mapping[str, Any]) -> str:
    """Say what is wrong with the file, "" when nothing is."""
    path = str(wanted["path"])
    least = int(wanted.get("minBytes") or 0)
    schema = wanted.get("jsonSchema")
    try:
        with engine.open_file(run, path) as file:
            content = file.read(MAX_JSON_BYTES if schema is not None else least)
    except FileNotFoundError:
        return f"{path} does not exist"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    if len(content) < least:
        return f"{path} has {len(content)} bytes, fewer than {least}"
    return _schema_problem(path, content, schema) if schema is not None else ""


def _schema_problem(path: str, content: bytes, schema: Any) -> str:
    from jsonschema import Draft202012Validator  # 100 ms of imports for those who use it
    from jsonschema.exceptions import best_match

    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        return f"{path} is not JSON: {error}"
    worst = best_match(Draft202012Validator(schema).iter_errors(document))
    return "" if worst is None else f"{path} at {worst.json_path}: {worst.message}"


async def _run_command(
    engine: Engine, handle: Handle, check: Mapping[str, Any], env: Mapping[str, str], *, workspace: str, owner: str,
    mask: Mask,
) -> dict[str, Any]:  # fmt: skip
    limit = float(check.get("timeout") or CHECK_SECONDS)
    spec = RunSpec(
        argv=tuple(str(a) for a in check["command"]),
        env=env,
        workspace=workspace,
        owner=owner,
        log="",
        timeout_seconds=limit,
        grace_seconds=CHECK_GRACE_SECONDS,
    )
    try:
        found = await engine.submit(spec, handle.key)
    except WorkloadError as error:
        return {"name": check["name"], "passed": False, "output": error.what}
    ended, in_time = await _end_of(engine, found.handle, limit + CHECK_GRACE_SECONDS + LATE_SECONDS)
    if in_time and ended.state is RunState.LOST:  # whose fault that is nobody knows, so it decides nothing
        await end_check(engine, found.handle)
        raise TryAgain(f"nobody saw how the check {check['name']} ended", fix="apply again: it is run once more")
    output = b"".join([chunk async for chunk in engine.logs(ended.handle, -OUTPUT_BYTES)])
    said = (await mask(output, cut=len(output) >= OUTPUT_BYTES)).strip()
    if not in_time or (ended.exit is not None and ended.exit.reason == "timeout"):
        said = f"ended at its timeout of {limit:g} s\n{said}".strip()
    elif ended.state is not RunState.SUCCEEDED:
        said = f"{ended.exit or ended.detail}\n{said}".strip()
    return {"name": check["name"], "passed": in_time and ended.state is RunState.SUCCEEDED, "output": said}


async def _end_of(engine: Engine, handle: Handle, seconds: float) -> tuple[Observation, bool]:
    """Wait for a run's end, and whether it came in time: who should have ended it then may have been killed."""
    try:
        async with asyncio.timeout(seconds):
            return await engine.wait(handle), True
    except TimeoutError:
        return await engine.stop(handle, CHECK_GRACE_SECONDS), False


async def end_check(engine: Engine, handle: Handle) -> None:
    """End whatever is left of a check and drop its record. Twice does no harm."""
    await engine.stop(handle, CHECK_GRACE_SECONDS)
    await engine.forget(handle)
