"""HAYMAKER_HOME is one private folder, and an install has one id for ever."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support.snippet import python

from agent_haymaker.errors import DoubtError, PlatformError
from agent_haymaker.installation import ensure_home, home, install_id


def test_the_home_is_absolute_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for given_, expected in (
        ("", tmp_path / "me" / ".haymaker"),
        ("~/x", tmp_path / "me" / "x"),
        ("rel/../here", tmp_path / "here"),
        ("/abs", Path("/abs")),
    ):
        monkeypatch.setenv("HAYMAKER_HOME", given_)
        assert home() == expected
    monkeypatch.delenv("HAYMAKER_HOME")
    assert home() == tmp_path / "me" / ".haymaker"


def test_a_home_of_nobody_is_an_error(monkeypatch):
    monkeypatch.setenv("HAYMAKER_HOME", "~no-such-user-here/x")
    with pytest.raises(PlatformError, match="no home folder is known"):
        home()


def test_the_home_is_made_for_its_owner_alone(tmp_path):
    made = ensure_home(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


def test_a_home_of_the_existing_tool_is_tightened(tmp_path):
    (tmp_path / "state").mkdir()
    tmp_path.chmod(0o755)
    ensure_home(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_folder_that_is_not_haymakers_keeps_its_mode(tmp_path):
    (tmp_path / "somebody's").write_text("")
    tmp_path.chmod(0o755)
    ensure_home(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_home_that_anybody_can_write_in_is_refused(tmp_path):
    (tmp_path / "somebody's").write_text("")
    tmp_path.chmod(0o1777)
    with pytest.raises(PlatformError, match="anybody on this host can write"):
        ensure_home(tmp_path)


@pytest.mark.parametrize("below", ["", "/homes/mine"])
def test_a_link_that_leads_nowhere_is_no_empty_home(below, tmp_path, monkeypatch):
    link = tmp_path / "disk"
    link.symlink_to("unplugged")
    monkeypatch.setenv("HAYMAKER_HOME", f"{link}{below}")
    for find in (home, lambda: ensure_home(Path(f"{link}{below}"))):
        with pytest.raises(PlatformError, match=f"nothing is to be found at {tmp_path}/unplugged") as caught:
            find()
        assert caught.value.where == str(link)
        assert "mount or restore" in str(caught.value.fix)
    (tmp_path / "unplugged").mkdir()
    assert ensure_home(home()).is_dir()


def test_a_home_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f", tmp_path / "f" / "below"):
        with pytest.raises(PlatformError, match="could not make the folder"):
            ensure_home(path)


def test_the_install_has_one_id_for_ever(tmp_path):
    children = [
        python(
            "import sys; from pathlib import Path; from agent_haymaker.installation import install_id\n"
            "print(install_id(Path(sys.argv[1])))",
            str(tmp_path / "home"),
        )
        for _ in range(4)
    ]
    said = {child.communicate(timeout=120)[0].strip() for child in children}
    assert said == {install_id(tmp_path / "home")}
    assert len(said.pop()) == 8
    assert os.listdir(tmp_path / "home") == ["install"]


@pytest.mark.parametrize("content", [b"", b"not an id", b"\xff"])
def test_an_install_id_that_cannot_be_read_is_doubt(content, tmp_path):
    (tmp_path / "install").write_bytes(content)
    with pytest.raises(DoubtError):
        install_id(tmp_path)
    assert (tmp_path / "install").read_bytes() == content
