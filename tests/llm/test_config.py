"""What LLMConfig takes, from the environment and by hand, and how it says what is wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from agent_haymaker.llm import LLMConfig, LLMError, create_llm_client
from llm.conftest import PROVIDERS

AZURE_HOST = "https://r.openai.azure.com"
AZURE = {"LLM_PROVIDER": "azure_openai", "AZURE_OPENAI_ENDPOINT": AZURE_HOST, "AZURE_OPENAI_DEPLOYMENT": "d"}
FOUNDRY = {"LLM_PROVIDER": "azure_ai_foundry", "AZURE_AI_ENDPOINT": "https://r.services.ai.azure.com"}


def test_anthropic_is_the_default_and_needs_a_key_only():
    config = LLMConfig.from_env({"ANTHROPIC_API_KEY": "k", "LLM_PROVIDER": ""})
    assert (config.provider, config.key(), config.timeout_seconds, config.max_retries) == ("anthropic", "k", 120, 3)


def test_each_provider_reads_its_own_variables():
    given = {**AZURE, "AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_API_VERSION": "v", "ANTHROPIC_API_KEY": "other"}
    config = LLMConfig.from_env(given)
    assert (config.endpoint, config.deployment, config.api_version) == (AZURE_HOST, "d", "v")
    assert config.key() == "k"
    config = LLMConfig.from_env(
        {"LLM_PROVIDER": "openai", "OPENAI_BASE_URL": "http://localhost:8000/v1/", "OPENAI_MODEL": "m"}
    )
    assert (config.endpoint, config.model, config.key()) == ("http://localhost:8000/v1", "m", "")
    config = LLMConfig.from_env({**FOUNDRY, "AZURE_AI_FOUNDRY_MODEL": "m", "AZURE_AI_FOUNDRY_API_KEY": "k"})
    assert (config.endpoint, config.model, config.key()) == ("https://r.services.ai.azure.com", "m", "k")
    second = {"LLM_PROVIDER": "azure_ai_foundry", "AZURE_AI_FOUNDRY_ENDPOINT": "https://second"}
    assert LLMConfig.from_env(second).endpoint == "https://second"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "set ANTHROPIC_API_KEY"),
        ({"ANTHROPIC_API_KEY": " "}, "set ANTHROPIC_API_KEY"),
        ({"LLM_PROVIDER": "openai"}, "set OPENAI_MODEL and OPENAI_API_KEY"),
        ({"LLM_PROVIDER": "azure_openai"}, "set AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT"),
        ({"LLM_PROVIDER": "azure_ai_foundry"}, "set AZURE_AI_ENDPOINT or AZURE_AI_FOUNDRY_ENDPOINT"),
        (
            {"LLM_PROVIDER": "anthrpic"},
            "LLM_PROVIDER is 'anthrpic'; it has to be one of anthropic, openai, azure_openai",
        ),
        ({"ANTHROPIC_API_KEY": "k", "LLM_TIMEOUT_SECONDS": "601"}, "LLM_TIMEOUT_SECONDS input should be less than"),
        ({"ANTHROPIC_API_KEY": "k", "LLM_MAX_RETRIES": "many"}, "LLM_MAX_RETRIES input should be a valid integer"),
        ({**FOUNDRY, "AZURE_AI_ENDPOINT": "http://r.example"}, "AZURE_AI_FOUNDRY_ENDPOINT must start with https://"),
    ],
)
def test_what_is_missing_or_wrong_is_named_by_its_variable(given, says):
    with pytest.raises(ValueError, match=says):
        LLMConfig.from_env(given)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://example.com",
        "http://127.0.0.1.example.com",
        "ftp://localhost",
        "https://user:password@example.com",
        "https://example.com/openai/deployments/d/chat/completions?api-version=1",
        "https://",
        "example.com",
    ],
)
def test_an_endpoint_that_would_send_the_key_astray_is_refused(endpoint):
    with pytest.raises(ValueError, match="endpoint"):
        LLMConfig(api_key="k", endpoint=endpoint)


@pytest.mark.parametrize(
    "endpoint", ["http://localhost:1", "http://127.8.0.1", "http://[::1]:5", "https://example.com"]
)
def test_an_endpoint_on_this_machine_may_be_plain(endpoint):
    assert LLMConfig(api_key="k", endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_seconds": 0.5},
        {"timeout_seconds": 601},
        {"max_retries": 11},
        {"max_retries": -1},
        {"modle": "m"},
        {"provider": "azure_openai"},
        {"api_key": "sk-secret\nsk-secret"},
        {"api_key": "sk-secret-\N{BULLET}"},
    ],
)
def test_no_config_that_is_refused_shows_its_key(wrong):
    with pytest.raises(ValueError, match="validation error") as raised:
        LLMConfig(**{"api_key": "sk-secret", **wrong})
    assert "sk-secret" not in str(raised.value)
    assert "sk-secret" not in repr(raised.value)


EXAMPLES = sorted((Path(__file__).parents[2] / "examples/llm").glob("*.env"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_needs_nothing_but_what_it_leaves_empty(example):
    lines = [line.removeprefix("# ") for line in example.read_text(encoding="utf-8").splitlines()]
    given = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    assert LLMConfig.from_env({name: value or "filled-in" for name, value in given.items()}).provider in PROVIDERS


@pytest.mark.parametrize(
    ("given", "package", "extra"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic", "anthropic"),
        ({"LLM_PROVIDER": "openai", "OPENAI_MODEL": "m", "OPENAI_API_KEY": "k"}, "openai", "openai"),
        ({**AZURE, "AZURE_OPENAI_API_KEY": "k"}, "openai", "azure"),
        ({**FOUNDRY, "AZURE_AI_FOUNDRY_API_KEY": "k"}, "azure.ai.inference", "azure"),
    ],
)
def test_a_missing_sdk_says_how_to_install_it(given, package, extra, monkeypatch):
    for module in [name for name in sys.modules if name.startswith("agent_haymaker.llm.providers")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LLMError, match=rf"needs the package {package}(.|\n)*pip install 'agent-haymaker\[{extra}\]'"):
        create_llm_client(LLMConfig.from_env(given))


def test_a_project_of_foundry_leads_to_the_models_of_its_resource():
    from agent_haymaker.llm.providers.azure_ai_foundry import models_url

    models = "https://r.services.ai.azure.com/models"
    assert models_url("https://r.services.ai.azure.com") == models
    assert models_url("https://r.services.ai.azure.com/api/projects/p") == models
    assert models_url(models) == models
    assert models_url("https://m.eastus.models.ai.azure.com") == "https://m.eastus.models.ai.azure.com"


def test_another_model_is_reached_the_same_way():
    there = LLMConfig(provider="openai", model="a", api_key="k", endpoint="http://127.0.0.1:1/v1")
    assert (there.with_model("b").model, there.with_model("b").endpoint) == ("b", there.endpoint)
    azure = LLMConfig(provider="azure_openai", deployment="a", api_key="k", endpoint="https://x.example")
    assert azure.with_model("b").deployment == "b"
