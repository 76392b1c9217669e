"""WorkloadBase: what it asks of a subclass, and that everything it lends works without a platform."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from abc import ABC, abstractmethod

import pytest

from agent_haymaker.errors import DeploymentError, DeploymentNotFoundError, WorkloadError
from agent_haymaker.llm import LLMProviderError
from agent_haymaker.workloads import DeploymentConfig, DeploymentState, FilePlatform, Platform, WorkloadBase
from agent_haymaker.workloads import base as base_module

from .strangers.by_state import ByState


class Small(WorkloadBase):
    name = "small"

    async def deploy(self, config):
        return "small-1"

    async def get_status(self, deployment_id):
        raise DeploymentNotFoundError(deployment_id)

    async def stop(self, deployment_id):
        return True

    async def cleanup(self, deployment_id):
        raise DeploymentNotFoundError(deployment_id)

    async def get_logs(self, deployment_id, follow=False, lines=100):
        yield "line"


class InMemory:
    """A platform that a stranger wrote: the five methods and nothing more."""

    def __init__(self):
        self.states = {}
        self.lines = []

    async def save_deployment_state(self, state):
        self.states[state.deployment_id] = state

    async def load_deployment_state(self, deployment_id):
        return self.states.get(deployment_id)

    async def list_deployments(self, workload_name):
        return [s for s in self.states.values() if s.workload_name == workload_name]

    async def get_credential(self, name):
        return f"the {name}"

    def log(self, message, level="INFO", workload=""):
        self.lines.append((message, level, workload))


STATE = DeploymentState(deployment_id="small-1", workload_name="small", status="running")


def test_everything_works_and_does_nothing_without_a_platform(caplog):
    async def scenario():
        workload = Small()
        assert workload._platform is None
        await workload.save_state(STATE)
        assert await workload.load_state("small-1") is None
        assert await workload.list_deployments() == []
        assert await workload.get_credential("azure-tenant-id") is None
        workload.log("told to nobody in particular", level="warning")
        await workload.emit_event("t", "small-1", x=1)
        await workload.emit_progress("small-1", "init", "Starting", percent=25.0)
        await workload.emit_log("small-1", "line", level="WARNING")
        assert await workload.validate_config(DeploymentConfig(workload_name="small")) == []
        with pytest.raises(DeploymentError, match="no platform"):
            await workload.launch("small-1", ["true"])

    asyncio.run(scenario())
    said = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [("haymaker.workload.small", "WARNING", "told to nobody in particular")]


def test_a_workload_with_an_init_of_its_own_has_no_platform():
    class Careless(Small):
        def __init__(self, platform=None):
            self.ready = True

    async def scenario():
        workload = Careless()
        await workload.save_state(STATE)
        await workload.emit_progress("small-1", "init", "Starting")
        assert await workload.load_state("small-1") is None
        assert await workload.list_deployments() == []

    asyncio.run(scenario())


def test_any_platform_with_the_five_methods_serves():
    async def scenario():
        platform = InMemory()
        assert isinstance(platform, Platform)
        workload = Small(platform=platform)
        await workload.save_state(STATE)
        assert await workload.load_state("small-1") is STATE
        assert await workload.list_deployments() == [STATE]
        assert await workload.get_credential("key") == "the key"
        workload.log("hello", level="ERROR")
        assert platform.lines == [("hello", "ERROR", "small")]
        await workload.emit_event("t", "small-1")
        with pytest.raises(DeploymentError, match="starts processes"):
            await workload.launch("small-1", ["true"])

    asyncio.run(scenario())


def test_what_lacks_a_method_is_no_platform():
    assert not isinstance(object(), Platform)


def test_start_is_not_implemented_unless_overridden():
    with pytest.raises(NotImplementedError, match="small cannot resume"):
        asyncio.run(Small().start("small-1"))
    assert ByState.start is not WorkloadBase.start


def test_a_workload_without_a_name_is_an_error_where_it_is_defined():
    with pytest.raises(TypeError, match=r"Nameless needs a name"):

        class Nameless(WorkloadBase):
            pass

    with pytest.raises(TypeError, match="needs a name"):

        class Empty(WorkloadBase):
            name = ""


def test_an_abstract_intermediary_needs_no_name_and_its_subclass_does():
    class CloudWorkload(WorkloadBase, ABC):
        @abstractmethod
        async def regions(self): ...

    class Named(CloudWorkload):
        name = "named"

    class Grandchild(Named):
        pass

    assert Grandchild.name == "named"
    with pytest.raises(TypeError, match="needs a name"):

        class Unnamed(CloudWorkload):
            pass


def test_the_five_methods_are_required():
    assert WorkloadBase.__abstractmethods__ == {"deploy", "get_status", "stop", "cleanup", "get_logs"}
    assert WorkloadBase.name == "base"
    with pytest.raises(TypeError):
        WorkloadBase()


def test_the_signatures_are_the_contracts():
    def parameters(method):
        return {p.name: p.default for p in inspect.signature(method).parameters.values() if p.name != "self"}

    nothing = inspect.Parameter.empty
    assert parameters(WorkloadBase.get_logs) == {"deployment_id": nothing, "follow": False, "lines": 100}
    assert parameters(WorkloadBase.emit_progress) == {
        "deployment_id": nothing,
        "phase": nothing,
        "message": nothing,
        "percent": None,
    }
    assert parameters(WorkloadBase.emit_log) == {"deployment_id": nothing, "line": nothing, "level": "INFO"}
    assert parameters(WorkloadBase.log) == {"message": nothing, "level": "INFO"}
    assert parameters(WorkloadBase.__init__) == {"platform": None}
    for name, method in inspect.getmembers(WorkloadBase, inspect.isfunction):
        if not name.startswith("_") and name not in ("log", "get_logs", "read_log"):
            assert inspect.iscoroutinefunction(method), name


def test_errors_print_as_what_was_said():
    for kind in (base_module.DeploymentError, base_module.DeploymentNotFoundError):
        assert str(kind("dep-1 not found")) == "dep-1 not found"
        assert issubclass(kind, WorkloadError)
    assert issubclass(DeploymentNotFoundError, DeploymentError)


@pytest.mark.parametrize("kind", [base_module.DeploymentError, base_module.DeploymentNotFoundError, LLMProviderError])
def test_errors_are_raised_as_any_exception_is(kind):
    with pytest.raises(kind) as bare:
        raise kind
    assert bare.value.args == ()
    assert str(bare.value) == kind.__doc__.strip()
    assert kind("no", 3).args == ("no", 3)
    assert str(kind("no", 3)) == str(Exception("no", 3))
    assert str(kind(KeyError("x"))) == str(KeyError("x"))
    copy = pickle.loads(pickle.dumps(kind("gone", where="here", fix="look")))
    assert (str(copy), copy.what) == ("here: gone\n  fix: look", "gone")


def test_events_carry_who_when_and_what(tmp_path):
    async def scenario():
        platform = FilePlatform(state_dir=tmp_path)
        heard = []
        for topic in ("workload.progress", "deployment.log", "custom.topic"):
            await platform.subscribe(topic, heard.append)
        workload = Small(platform)
        await workload.emit_progress("small-1", "setup", "Configuring")
        await workload.emit_log("small-1", "x" * 100_000, level="WARNING")
        await workload.emit_event("custom.topic", "small-1", custom="val")
        from agent_haymaker.testing import eventually_async

        await eventually_async(lambda: len(heard) == 3)
        for event in heard:
            assert event["deployment_id"] == "small-1"
            assert event["workload_name"] == "small"
            assert event.pop("timestamp").endswith("+00:00")
        progress, log, custom = heard
        assert (progress["topic"], progress["phase"], progress["percent"]) == ("workload.progress", "setup", None)
        assert progress["message"] == "Configuring"
        assert (log["level"], len(log["line"])) == ("WARNING", 65536)
        assert custom["custom"] == "val"
        await platform._event_bus.close()

    asyncio.run(scenario())


def test_a_platform_that_fails_to_tell_an_event_fails_no_deployment(caplog):
    class Broken(InMemory):
        async def publish_event(self, topic, event):
            raise OSError("no space left")

    asyncio.run(Small(Broken()).emit_event("t", "small-1"))
    assert "an event of small-1 (t) was not told" in caplog.text
