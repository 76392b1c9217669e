"""The command line as a whole: its catalog, its quick reader, its errors, its reference page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from agent_haymaker import errors
from agent_haymaker.testing import eventually
from reconciler.cli import main as entry
from reconciler.cli.catalog import COMMANDS, load_attribute
from reconciler.cli.clicked import as_click, root
from reconciler.cli.docs import reference
from reconciler.cli.elsewhere import SAID, elsewhere
from reconciler.cli.spec import Command, read_plainly

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
SPECS = {name: found for name, (where, _) in COMMANDS.items() if isinstance(found := load_attribute(where), Command)}


def test_the_reference_page_is_what_help_says() -> None:
    if os.environ.get("GOLDEN"):
        DOCS.write_text(reference(), encoding="utf-8")
    assert DOCS.read_text(encoding="utf-8") == reference(), "run `make golden`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_catalog_is_there_and_has_help(name: str) -> None:
    command = as_click(name, load_attribute(COMMANDS[name][0]))
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.opts == ["-o", "--output"], f"{name} {parameter.opts} says nothing"


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from reconciler.cli import main; main.run(['--help']);"
        "print([m for m in sys.modules if m in ('yaml', 'pydantic', 'asyncio', 'rich', 'reconciler.converge')],"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_a_look_imports_neither_click_nor_anything_heavy(tmp_path: Path) -> None:
    heavy = (
        "{'click', 'yaml', 'pydantic', 'jsonschema', 'asyncio', 'rich', 'psutil', 'dataclasses', 'socket', 'inspect'}"
    )
    for words in ("['status']", "['list']", "['status', 'x']"):
        code = (
            f"import sys; from reconciler.cli import main; main.run({words});"
            f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
        )
        env = {"HAYMAKER_HOME": str(tmp_path), "PATH": ""}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        assert done.stderr.splitlines()[-1] == "[]"


def test_an_apply_of_what_did_not_change_imports_nothing_heavy(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "fleet.yaml").write_text("apiVersion: haymaker/v1\nkind: Fleet\nmetadata: {name: lean}\n")
    heavy = "{'click', 'yaml', 'pydantic', 'asyncio', 'dataclasses', 'inspect', 'hashlib', 'subprocess'}"
    code = (
        f"import sys; from reconciler.cli import main; main.run(['apply', '-f', {str(folder)!r}]);"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    env = {"HAYMAKER_HOME": str(tmp_path / "home"), "PATH": ""}

    def is_lean() -> bool:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        return done.stderr.splitlines()[-1] == "[]"

    assert not is_lean(), "the first pass reads YAML"
    eventually(is_lean)  # a file too young when it was read is read again


LINES: list[tuple[str, str]] = [
    ("status", ""),
    ("status", "web"),
    ("status", "web -o json"),
    ("status", "-ojson web"),
    ("status", "--output=json --exit-status web"),
    ("list", "-l team=a -f wide"),
    ("status", "-l team=a --edits"),
    ("wait", "-l team=a"),
    ("logs", "web -n 5 -f --since 10m"),
    ("logs", "-n5 --run 2.1 web --source reconciler"),
    ("events", "-n 3"),
    ("wait", "a b --for deleted --timeout 5s"),
    ("why", "web -f manifests"),
    ("apply", "-f manifests --yes --only a --only b -o json"),
    ("apply", "plan.json --lock-timeout 5s"),
    ("plan", "--base main --show-goal-diff -o markdown"),
    ("delete", "-f m -y --timeout 10s"),
]


@pytest.mark.parametrize(("name", "line"), LINES)
def test_the_quick_reader_reads_as_click_does(name: str, line: str) -> None:
    spec, told = SPECS[name], dict[str, Any]()
    words = line.split()
    quick = read_plainly(spec, words, {})
    command = as_click(name, spec)
    command.callback = lambda **values: told.update(values)
    command.main(words, standalone_mode=False)
    assert quick == told


@pytest.mark.parametrize(
    ("name", "line"),
    [("status", "--help"), ("status", "-wx"), ("list", "extra"), ("logs", ""), ("logs", "web -n x"), ("list", "-o xml"),
     ("status", "--watch=1"), ("events", "-n"), ("logs", "web -n -5")],
)  # fmt: skip
def test_what_is_not_plainly_right_is_left_to_click(name: str, line: str) -> None:
    assert read_plainly(SPECS[name], line.split(), {}) is None


MISTAKES = [
    ("apply -f a -f b", "-f is given more than once", "`haymaker apply --help`"),
    ("delete --filename a -fb", "-f is given more than once", "`haymaker delete --help`"),
    ("plan agents", "it does not take agents", "-f takes one folder, or one file: `haymaker plan -f agents`"),
    ("plan agents/a.yaml", "agents/a.yaml", "did you mean `haymaker plan -f agents/a.yaml`?"),
    ("apply -f agents/a.yaml agents/b.yaml", "no saved plan", "one file: `haymaker apply -f agents`"),
    ("plan -f agents/a.yaml agents/b.yaml", "agents/b.yaml", "one file: `haymaker plan -f agents`"),
    ("delete web", "it does not take web", "did you mean `haymaker delete --only web`?"),
    ("delete web mail", "web mail", "did you mean `haymaker delete --only web --only mail`?"),
    ("runs web mail", "it does not take mail", "`haymaker runs --help` says what it takes"),
    ("plan -f -", "no such folder", "not read from standard input"),
    ("plan -f https://host/a.yaml", "no such folder", "clone or download it first"),
    ("plan -f agents/*.yml", "no such folder", "pass the folder"),
]


@pytest.mark.parametrize(("line", "what", "fix"), MISTAKES)
def test_a_mistaken_line_is_answered_with_the_one_that_was_meant(
    line: str, what: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAYMAKER_HOME", str(tmp_path / "home"))
    (tmp_path / "agents").mkdir()
    for name in "ab":
        (tmp_path / "agents" / f"{name}.yaml").touch()
    assert entry.run(line.split()) in (64, 65)
    told = capfd.readouterr().err
    assert what in told
    assert fix in told
    assert not (tmp_path / "home").exists()


def test_a_value_from_the_environment_is_left_to_click() -> None:
    assert read_plainly(SPECS["list"], [], {"HAYMAKER_OUTPUT": "json"}) is None
    assert read_plainly(SPECS["list"], ["-o", "name"], {"HAYMAKER_OUTPUT": "json"}) is not None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ManifestError("x"), 65),
        (errors.UsageError("x"), 64),
        (errors.BlockedError("x"), 5),
        (errors.LockedError("x"), 6),
        (errors.StalePlanError("x"), 7),
        (errors.DoubtError("x"), 1),
        (errors.PlatformError("x"), 1),
        (errors.WorkloadError("x"), 1),
        (errors.DeploymentNotFoundError("x"), 1),
        (errors.TryAgain("x"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
        (ExceptionGroup("all", [errors.LockedError("x")]), 6),
        (PermissionError(13, "Permission denied", "/f"), 1),
        (ZeroDivisionError("secret"), 1),
        (SystemExit(3), 3),
        (SystemExit(), 0),
    ],
)
def test_every_error_becomes_its_exit_code_and_no_traceback(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(entry, "_run", fail)
    monkeypatch.setattr(entry, "_mute", lambda: None)
    assert entry.run(["status"]) == code
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert "secret" not in told
    if isinstance(error, ZeroDivisionError):
        assert "this is a fault in haymaker (ZeroDivisionError at" in told
        assert "HAYMAKER_DEBUG=1" in told


def test_an_error_says_what_where_and_how(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_: list[str]) -> int:
        raise errors.ManifestError("workers must be 1 to 100", where="m.yaml:7", fix="set a value in range")

    monkeypatch.setattr(entry, "_run", fail)
    entry.run([])
    assert capfd.readouterr().err == (
        "error: workers must be 1 to 100\n  where: m.yaml:7\n  fix: set a value in range\n"
    )


def test_without_words_there_is_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert entry.run([]) == 0
    out = capfd.readouterr().out
    assert all(f"\n  {name} " in out for name in root().catalog)


def test_no_word_of_another_tool_hides_a_command_of_this_one() -> None:
    assert not SAID.keys() & COMMANDS.keys(), "this word is a command now: take it out of elsewhere.py"


@pytest.mark.parametrize("word", SAID)
def test_a_word_of_another_tool_is_answered_with_what_exists_here(word: str) -> None:
    said = elsewhere(word, ["deployment", "web"])
    assert "{" not in said
    for line in re.findall(r"`haymaker ([^`]+)`", said):
        command, *rest = line.split()
        assert command in (*COMMANDS, "--help", "--version"), line
        known = (
            {name for p in as_click(command, load_attribute(COMMANDS[command][0])).params for name in p.opts}
            if (command in COMMANDS)
            else set[str]()
        )
        assert {r for r in rest if r.startswith("-")} <= known | {"--help"}, line
