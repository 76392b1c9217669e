"""The foundation: locks that agree with pyproject.toml, one version, and a house whose arrows are checked."""

import configparser
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINNED = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;\\]+)(?P<rest>.*)$")
RUNTIME, EXTRAS = PROJECT["project"]["dependencies"], PROJECT["project"]["optional-dependencies"]
GROUPS, BUILD = PROJECT["dependency-groups"], PROJECT["build-system"]["requires"]
MODELS, SDKS = ("anthropic", "azure", "openai"), ("claude", "copilot", "microsoft")
DEV = GROUPS["test"] + [entry for entry in GROUPS["dev"] if isinstance(entry, str)]
LOCKS = {
    "runtime.txt": RUNTIME,
    "build.txt": BUILD,
    "dev.txt": [*RUNTIME, *(wanted for extra in MODELS for wanted in EXTRAS[extra]), *DEV, *BUILD],
    "keyring.txt": [*RUNTIME, *EXTRAS["keyring"]],
    **{f"sdk-{sdk}.txt": [*RUNTIME, *EXTRAS[sdk], *GROUPS["test"]] for sdk in SDKS},
}


def locked(name: str) -> dict[str, list[Version]]:
    """Give the versions that a lock holds for each name: more than one where a marker tells them apart."""
    pins: dict[str, list[Version]] = {}
    for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
        if found := PINNED.match(line):
            pins.setdefault(found["name"], []).append(Version(found["version"]))
    assert pins, f"requirements/{name} pins nothing"
    return pins


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_every_requirement_in_its_range(name):
    pins = locked(name)
    for text in LOCKS[name]:
        wanted = Requirement(text)
        versions = pins.get(wanted.name.lower().replace("_", "-"))
        assert versions, f"requirements/{name} lacks {wanted.name}; run `make lock`"
        assert all(wanted.specifier.contains(v) for v in versions), f"{wanted} is not {versions}; run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_the_hash_of_every_file(name):
    lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    for line, following in itertools.pairwise(lines):
        if PINNED.match(line):
            assert following.strip().startswith("--hash=sha256:"), f"{line} has no hash"


def test_there_is_no_other_lock_and_no_extra_without_one():
    assert {path.name for path in (ROOT / "requirements").glob("*.txt")} == set(LOCKS)
    assert EXTRAS["llm"] == [f"agent-haymaker[{','.join(MODELS)}]"]
    assert set(EXTRAS) == {*MODELS, *SDKS, "llm", "keyring"}


@pytest.mark.parametrize("name", [name for name in LOCKS if name not in ("runtime.txt", "build.txt")])
def test_the_locks_agree_where_they_hold_the_same_package(name):
    pins = locked(name)
    for package, versions in (locked("runtime.txt") | (locked("build.txt") if name == "dev.txt" else {})).items():
        assert pins[package] == versions, f"{package} differs between {name} and the others; run `make lock`"


def test_a_lock_names_no_index_and_no_path():
    for name in LOCKS:
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        assert not re.search(r"://|--(extra-)?index-url|--find-links|file:| @ ", text), name


def test_the_version_stands_in_the_changelog():
    from agent_haymaker import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_the_makefile_promises_is_phony_and_explained():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test", "check", "check-slow", "check-sdks", "golden", "bench", "lock", "clean"):
        assert re.search(rf"^\.PHONY:.*\b{target}\b", text, re.MULTILINE), target
        assert re.search(rf"make {target} ", text), f"make help does not name {target}"


def test_the_haymaker_command_starts_without_import_hooks():
    """An editable install that hooks into imports costs every start several milliseconds."""
    script = "import sys; print([type(f).__module__ for f in sys.meta_path])"
    hooks = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "editable" not in hooks


TURNED = {  # one import against each arrow
    "contract-in-the-middle": ("agent_haymaker/errors.py", "import reconciler.app"),
    "strangers": ("reconciler/app.py", "import haymaker_goal_agent"),
    "pure": ("reconciler/classify.py", "import time"),
    "stages": ("reconciler/observe.py", "import reconciler.load"),
    "one-pass": ("reconciler/converge.py", "import reconciler.cli"),
}


@pytest.mark.parametrize("turned", [None, *TURNED])
def test_an_import_against_an_arrow_breaks_its_contract(tmp_path, turned):
    """On a house of empty modules with our names, so that it shows the contracts themselves and not today's code."""
    config = configparser.ConfigParser()
    config.read_string((ROOT / ".importlinter").read_text(encoding="utf-8"))
    contracts = {s.rpartition(":")[2]: config[s]["name"] for s in config.sections() if ":contract:" in s}
    assert set(contracts) == set(TURNED)

    text = (ROOT / ".importlinter").read_text(encoding="utf-8")
    names = set(re.findall(r"\b(?:agent_haymaker|reconciler|haymaker_goal_agent)(?:\.[a-z]+)?\b", text))
    for name in sorted(names | {"reconciler.app", "reconciler", "agent_haymaker", "haymaker_goal_agent"}):
        package, _, module = name.partition(".")
        (tmp_path / package).mkdir(exist_ok=True)
        (tmp_path / package / f"{module or '__init__'}.py").touch()
    (tmp_path / "reconciler/model.py").write_text("import agent_haymaker.lean\n", encoding="utf-8")
    (tmp_path / "reconciler/select.py").write_text("import agent_haymaker.errors\n", encoding="utf-8")
    if turned:
        file, line = TURNED[turned]
        (tmp_path / file).write_text(line + "\n", encoding="utf-8")
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--config", ROOT / ".importlinter"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    broken = {key for key, name in contracts.items() if f"{name} BROKEN" in done.stdout}
    assert broken == ({turned} if turned else set()), done.stdout + done.stderr
    assert done.returncode == (1 if turned else 0), done.stdout + done.stderr
