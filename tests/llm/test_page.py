"""What docs/llm.md shows works as it is written."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from model_server import call, say
from model_server.turns import turn_from_json

from llm.conftest import KEY

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/llm.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page_run_one_after_the_other(serve, monkeypatch, capsys):
    server = serve(say("Sleep."), call("weather", city="Bergen"), say("Yes."), key=KEY)
    monkeypatch.delenv("LLM_PROVIDER", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    examples = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(examples) == 3
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, "docs/llm.md", "exec"), names)
    names["client"].close()
    assert capsys.readouterr().out.startswith("Sleep. {'input_tokens': 10,")
    assert names["answer"].content == "Yes."
    assert server.asked[-1].news[0].text == "rain, as ever"
    assert names["Parrot"]().create_message([names["LLMMessage"]("user", "Polly?")]).content == "Polly?"


def test_the_scenario_of_the_page_is_one():
    scenario = re.search(r"<<'END'\n(.*?)^END", PAGE, re.MULTILINE | re.DOTALL)
    assert scenario
    turns = [turn_from_json(entry) for entry in json.loads(textwrap.dedent(scenario[1]))["turns"]]
    assert [turn.reason for turn in turns] == ["tools", "end", "end"]
