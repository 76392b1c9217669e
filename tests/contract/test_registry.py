"""The registry: names without imports, failures kept, manifests with lines, installs that say what went wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent_haymaker import WorkloadRegistry
from agent_haymaker.errors import ManifestError, WorkloadError

from .strangers.by_state import ByState
from .test_workload_contract import installed

if TYPE_CHECKING:
    from pathlib import Path

SMALL = """
from agent_haymaker import WorkloadBase
class W(WorkloadBase):
    name = "{name}"
    async def deploy(self, config): return "x-1"
    async def get_status(self, deployment_id): ...
    async def stop(self, deployment_id): return True
    async def cleanup(self, deployment_id): ...
    async def get_logs(self, deployment_id, follow=False, lines=100):
        yield "log"
"""


def test_listing_imports_no_workload(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, [("noisy", "noisy_stranger:W")], [("noisy_stranger.py", "raise SystemExit(3)")])
    assert "noisy" in WorkloadRegistry().list_workloads()
    assert "noisy_stranger" not in sys.modules


@pytest.mark.parametrize(
    ("module", "value", "why"),
    [
        ("1/0", "bad_stranger_a:W", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('bye')", "bad_stranger_b:W", "SystemExit: bye"),
        ("import no_such_module_here", "bad_stranger_c:W", "No module named 'no_such_module_here'"),
        ("x = 1", "bad_stranger_d:W", "AttributeError"),
        ("W = 1", "bad_stranger_e:W", "is not a subclass of WorkloadBase"),
        ("class W: pass", "bad_stranger_f:W", "is not a subclass of WorkloadBase"),
        ("x = 1", "no_stranger_here:W", "No module named 'no_stranger_here'"),
        ("from agent_haymaker import WorkloadBase\nclass W(WorkloadBase): pass", "bad_stranger_g:W", "needs a name"),
        (SMALL.format(name="x") + "    def __init__(self): ...\n", "bad_stranger_h:W", "its class cannot be made"),
        (SMALL.format(name="x").replace("stop", "halt"), "bad_stranger_i:W", "its class cannot be made"),
    ],
)
def test_a_workload_that_fails_is_kept_as_a_failure_and_harms_no_other(module, value, why, tmp_path, monkeypatch):
    name = value.split(":")[0]
    modules = [(f"{name}.py", module)] if name.startswith("bad") else []
    modules.append((f"good_{name}.py", SMALL.format(name="good")))
    installed(tmp_path, monkeypatch, [("bad", value), ("good", f"good_{name}:W")], modules)
    registry = WorkloadRegistry()
    assert registry.get_workload("bad") is None
    assert why in registry.failures["bad"]
    assert registry.get_workload("good").name == "good"
    assert "good" in registry.discover_workloads()
    assert {"bad", "good"} <= set(registry.list_workloads())


def test_two_packages_that_claim_one_name_are_a_failure(tmp_path, monkeypatch):
    installed(tmp_path / "a", monkeypatch, [("twice", "twice_a:W")])
    site = tmp_path / "b" / "site" / "other-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (site / "entry_points.txt").write_text("[agent_haymaker.workloads]\ntwice = twice_b:W\n")
    monkeypatch.syspath_prepend(str(site.parent))
    registry = WorkloadRegistry()
    assert registry.get_workload("twice") is None
    assert "more than one package declares it: twice_a:W and twice_b:W" in registry.failures["twice"]


def test_an_unknown_name_is_none_and_no_failure():
    registry = WorkloadRegistry()
    assert registry.get_workload("no-such-workload") is None
    assert registry.failures == {}


def test_a_registered_class_gets_the_platform():
    platform = object()
    registry = WorkloadRegistry(platform=platform)
    registry.register_workload("mine", ByState)
    assert registry.get_workload("mine")._platform is platform
    assert "mine" in registry.list_workloads()
    with pytest.raises(TypeError, match="not a subclass"):
        registry.register_workload("odd", object)
    assert WorkloadRegistry.ENTRY_POINT_GROUP == "agent_haymaker.workloads"


# ---- installing, with the real pip and git ----


def a_package(folder: Path, name: str, *, entry_point: str | None, broken: bool = False) -> Path:
    module = name.replace("-", "_")
    folder.mkdir(parents=True)
    entry = f'[project.entry-points."agent_haymaker.workloads"]\n{entry_point} = "{module}:W"\n' if entry_point else ""
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        f"[project]\nname = '{name}'\nversion = '1.0'\n{entry}"
    )
    (folder / "workload.yaml").write_text(
        f'name: {name}\nversion: "1.0"\ntype: runtime\npackage: {{name: {name}, entrypoint: "{module}:W"}}\n'
    )
    (folder / f"{module}.py").write_text(SMALL.format(name=name))
    # A build backend of ten lines, so that the test needs no network and no other package.
    (folder / "backend.py").write_text(
        "raise RuntimeError('this package cannot be built')\n"
        if broken
        else f"""
import zipfile
import os
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None, editable=False):
    file = "{module}-1.0-py3-none-any.whl"
    info = "{module}-1.0.dist-info"
    with zipfile.ZipFile(wheel_directory + "/" + file, "w") as wheel:
        if editable:
            wheel.writestr("_{module}.pth", os.getcwd() + "\\n")
        else:
            wheel.write("{module}.py", "{module}.py")
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        tags = "Root-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\n" + tags)
        wheel.writestr(info + "/entry_points.txt", {entry.replace("[project.entry-points.", "[").replace('"', "")!r})
        wheel.writestr(info + "/RECORD", "")
    return file
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return build_wheel(wheel_directory, editable=True)
"""
    )
    return folder


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A place of its own to install into: pip writes there, and this interpreter looks there first."""
    target = tmp_path / "target"
    monkeypatch.setenv("PIP_TARGET", str(target))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    target.mkdir()
    monkeypatch.syspath_prepend(str(target))  # puts back all of sys.path in the end
    return target


def test_a_package_in_a_folder_is_installed_and_found(tmp_path, environment):
    folder = a_package(tmp_path / "src", "stranger-one", entry_point="stranger-one")
    registry = WorkloadRegistry()
    assert registry.install_from_path(folder) == "stranger-one"
    assert registry.get_workload("stranger-one").name == "stranger-one", registry.failures
    assert sys.modules["stranger_one"].__file__ == str(folder / "stranger_one.py"), "it is the one in the folder"


@pytest.mark.slow
def test_a_package_in_a_repository_is_installed_and_found(tmp_path, environment):
    folder = a_package(tmp_path / "src", "stranger-two", entry_point="stranger-two")
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    registry = WorkloadRegistry()
    assert registry.install_from_git(f"file://{folder}") == "stranger-two"
    assert registry.get_workload("stranger-two").name == "stranger-two"


def test_a_package_that_cannot_be_built_is_an_error_with_pips_words(tmp_path, environment):
    folder = a_package(tmp_path / "src", "stranger-three", entry_point="stranger-three", broken=True)
    with pytest.raises(WorkloadError, match="could not install workload stranger-three"):
        WorkloadRegistry().install_from_path(folder)


@pytest.mark.slow
def test_a_package_that_registers_nothing_is_an_error_that_says_what_to_add(tmp_path, environment):
    folder = a_package(tmp_path / "src", "stranger-four", entry_point="another-name")
    with pytest.raises(WorkloadError, match="registers no such workload") as caught:
        WorkloadRegistry().install_from_path(folder)
    assert 'stranger-four = "module:Class"' in str(caught.value)


def test_a_repository_that_cannot_be_cloned_is_an_error_without_its_password(tmp_path):
    for url in (f"file://{tmp_path}/none", "https://me:hunter2@127.0.0.1:9/none.git"):
        with pytest.raises(WorkloadError, match="could not clone") as caught:
            WorkloadRegistry().install_from_git(url)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "--upload-pack=touch /tmp/x"])
def test_what_is_no_address_is_never_given_to_git(url):
    with pytest.raises(WorkloadError, match="not the address of a repository"):
        WorkloadRegistry().install_from_git(url)


def test_a_folder_without_a_package_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match=r"there is no workload\.yaml"):
        WorkloadRegistry().install_from_path(tmp_path)
    (tmp_path / "workload.yaml").write_text('name: p\nversion: "1"\ntype: prompt\n')
    with pytest.raises(WorkloadError, match="has no Python package to install"):
        WorkloadRegistry().install_from_path(tmp_path)
