"""What docs/workloads.md shows is run as it stands, so that nobody copies a mistake."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from agent_haymaker import WorkloadRegistry
from agent_haymaker.testing import WorkloadContract

PAGE = Path(__file__).parents[2] / "docs" / "workloads.md"
BLOCKS = re.findall(r"```(python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL)
NAMES: dict[str, object] = {"__name__": "word_counter"}
for _language, _text in BLOCKS:
    if _language == "python":
        exec(compile(_text, str(PAGE), "exec", dont_inherit=True), NAMES)


class TestTheExampleOfTheDocs(NAMES["TestWordCounter"]):  # type: ignore[name-defined,misc] # made from the page
    pass


def test_the_page_shows_the_suite_itself():
    assert issubclass(NAMES["TestWordCounter"], WorkloadContract)


def test_the_manifest_of_the_page_is_right(tmp_path):
    (tmp_path / "workload.yaml").write_text(next(text for language, text in BLOCKS if language == "yaml"))
    manifest = WorkloadRegistry().load_manifest(tmp_path, strict=True)
    assert manifest.entrypoint == "word_counter:WordCounter"
    assert manifest.warnings == []


@pytest.mark.skipif(shutil.which("wc") is None, reason="the example counts with wc")
def test_the_example_counts(tmp_path, monkeypatch):
    import asyncio

    from agent_haymaker import DeploymentConfig
    from agent_haymaker.testing import eventually_async
    from agent_haymaker.workloads import FilePlatform

    monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path))

    async def scenario():
        workload = NAMES["WordCounter"](FilePlatform())
        config = DeploymentConfig(workload_name="word-counter", workload_config={"text": "three short words"})
        deployment_id = await workload.deploy(config)

        async def has_ended():
            return (await workload.get_status(deployment_id)).status == "completed"

        await eventually_async(has_ended)
        lines = [line.strip() async for line in workload.get_logs(deployment_id)]
        assert lines == ["3", "Goal achieved"]
        assert (await workload.cleanup(deployment_id)).is_complete

    asyncio.run(scenario())
