"""The committed schemas are those of the models, accept what the loader accepts, and explain every field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agent_haymaker.errors import UsageError
from reconciler.manifest.schemas import MODELS, explain, schema

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", MODELS)
def test_the_committed_schema_is_not_stale(kind: str) -> None:
    kept = json.loads((ROOT / "schemas" / f"{kind}.schema.json").read_text())
    assert kept == schema(kind), "run: python -m reconciler.manifest.schemas"
    jsonschema.Draft202012Validator.check_schema(kept)


@pytest.mark.parametrize("path", sorted((ROOT / "manifests").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_schemas_accept_the_manifests_of_the_demo(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kind = document.get("kind", "workload")
        assert [error.message for error in jsonschema.Draft202012Validator(schema(kind)).iter_errors(document)] == []


def test_the_schema_refuses_a_typo() -> None:
    document = {"apiVersion": "haymaker/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"wrokload": "x"}}
    assert not jsonschema.Draft202012Validator(schema("deployment")).is_valid(document)


def _paths(kind: str, path: str = "") -> list[str]:
    full = f"{kind}{path}"
    return [full, *(inner for field in explain(full).fields for inner in _paths(kind, f"{path}.{field.name}"))]


@pytest.mark.parametrize("kind", MODELS)
def test_every_field_has_its_help(kind: str) -> None:
    paths = _paths(kind)
    assert len(paths) > 15
    for path in paths:
        assert explain(path).of.description, path
        assert explain(path).of.type, path


@pytest.mark.parametrize(
    ("path", "kind", "default"),
    [
        ("deployment.spec.run.terminationGracePeriod", "duration", "30s"),
        ("deployment.spec.artifacts.retention.maxAge", "duration", "720h"),
        ("Deployments.spec.desiredState", "running | stopped", "running"),
        ("deployment.spec.run.backoffLimit", "number", "3"),
        ("deployment.spec.workload", "text | map", ""),
        ("fleet.spec.sync.maxDeletions", "text | number", "20%"),
        ("fleet.spec.sync.prune", "true | false", "false"),
        ("deployment.spec.env[0].valueFrom", "map", "none"),
    ],
)
def test_a_default_is_shown_as_a_manifest_writes_it(path: str, kind: str, default: str) -> None:
    explained = explain(path).of
    assert (explained.type, explained.default) == (kind, default)


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("deploymnt", "did you mean deployment?"),
        ("deployment.spec.rnu", "did you mean deployment.spec.run?"),
        ("deployment.spec.run.timeout.x", "its fields: none"),
    ],
)
def test_a_field_that_is_not_there_offers_the_nearest(path: str, fix: str) -> None:
    with pytest.raises(UsageError) as error:
        explain(path)
    assert error.value.fix == fix


def _required(node: Any) -> list[str]:
    return list(node.get("required", ()))


def test_only_the_name_and_the_workload_are_required() -> None:
    made = schema("deployment")
    assert _required(made["$defs"]["DeploymentSpec"]) == ["workload"]
    assert _required(made["$defs"]["Metadata"]) == ["name"]
