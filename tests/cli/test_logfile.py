"""Tails, rotation and secrets in logs, byte by byte."""

from __future__ import annotations

import json
import os
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, quote_plus

import pytest

from reconciler.logfile import PIECE, LogReader
from reconciler.redact import MASK, Redactor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def opener(folder: Path) -> Callable[[str], BinaryIO]:
    return lambda name: (folder / name).open("rb")


def tail(folder: Path, lines: int, secrets: list[str] | None = None) -> bytes:
    reader = LogReader(opener(folder), secrets or [])
    return b"".join(reader.tail(lines)) + reader.end()


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("wanted", [0, 1, 2, 7, 100])
def test_the_tail_is_the_last_lines(end: bytes, wanted: int, tmp_path: Path) -> None:
    lines = [b"line %d" % n for n in range(7)]
    (tmp_path / "agent.log").write_bytes(b"\n".join(lines) + end)
    expected = b"\n".join(lines[len(lines) - min(wanted, 7) :]) + (end if wanted else b"")
    assert tail(tmp_path, wanted) == expected


def test_a_long_log_gives_its_tail_across_pieces(tmp_path: Path) -> None:
    lines = [b"%d " % n + b"x" * 1000 for n in range(500)]
    (tmp_path / "agent.log").write_bytes(b"\n".join(lines) + b"\n")
    assert tail(tmp_path, 200).splitlines() == lines[-200:]


def test_a_rotated_log_makes_up_for_a_short_one(tmp_path: Path) -> None:
    (tmp_path / "agent.log.1").write_bytes(b"a\nb\nc\n")
    (tmp_path / "agent.log").write_bytes(b"d\n")
    assert tail(tmp_path, 3) == b"b\nc\nd\n"


def test_the_tail_of_a_sparse_giant_costs_the_tail(tmp_path: Path) -> None:
    with (tmp_path / "agent.log").open("wb") as log:
        log.truncate(10 << 30)
        log.seek(0, os.SEEK_END)
        log.write(b"\nlast\n")
    assert tail(tmp_path, 1) == b"last\n"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 1000])
def test_a_secret_is_masked_wherever_pieces_end(size: int) -> None:
    text = b"one s3cr3t two s3cr3 three s3cr3t-and-more s3cr"
    redactor = Redactor(["s3cr3t", "s3cr3t-and-more"])
    shown = b"".join(redactor.feed(text[i : i + size]) for i in range(0, len(text), size)) + redactor.end()
    assert b"s3cr3t" not in shown
    assert shown.startswith(b"one " + MASK + b" two s3cr3 three " + MASK)
    assert shown.endswith(b" s3cr")


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(lambda s: json.dumps(s), id="as JSON"),
        pytest.param(lambda s: json.dumps(s, ensure_ascii=False), id="as JSON with all letters"),
        pytest.param(repr, id="as Python"),
        pytest.param(lambda s: quote(s, safe=""), id="in a URL"),
        pytest.param(quote, id="in a path of a URL"),
        pytest.param(quote_plus, id="in a form"),
        pytest.param(lambda s: b64encode(s.encode()).decode(), id="in base64"),
        pytest.param(lambda s: b64encode(f"me:{s}".encode()).decode(), id="in a header of basic authentication"),
        pytest.param(lambda s: b64encode(f"user:{s}!".encode()).decode(), id="in base64 in the midst of others"),
        pytest.param(lambda s: urlsafe_b64encode(s.encode()).decode(), id="in base64 for URLs"),
    ],
)
def test_a_secret_is_masked_in_the_forms_that_programs_give_it(show) -> None:
    secret = 's3cr3t"VALUE/with+odd \\chars\u00e9?>\nand~lines'
    text = f"before {show(secret)} after".encode()
    shown = Redactor([secret]).masked(text).decode()
    assert MASK.decode() in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert len(shown) < len("before  after") + 2 * len(MASK), (
        f"all of it but a letter or two of its neighbours: {shown}"
    )


def test_of_a_text_that_was_cut_what_is_left_of_a_secret_at_its_ends_is_masked() -> None:
    redactor = Redactor(["first-line\nlast-line"])
    assert redactor.masked(b"line\nlast-line\nsaid first-li", cut=True) == MASK + b"\nsaid " + MASK
    assert redactor.masked(b"ine said fir") == b"ine said fir"


def test_a_secret_cut_by_the_beginning_of_the_tail_is_masked(tmp_path: Path) -> None:
    (tmp_path / "agent.log").write_bytes(b"begin KEY-line1\nKEY-line2\nend\n")
    assert tail(tmp_path, 2, ["KEY-line1\nKEY-line2"]) == MASK + b"\nend\n"


def test_a_secret_across_a_piece_of_the_file_is_masked(tmp_path: Path) -> None:
    (tmp_path / "agent.log").write_bytes(b"x" * (PIECE - 3) + b"s3cr3t" + b"\n")
    assert b"s3cr3t" not in tail(tmp_path, 1, ["s3cr3t"])


def test_following_survives_truncation_and_replacement(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_bytes(b"one\n")
    reader = LogReader(opener(tmp_path), [])
    assert b"".join(reader.tail(10)) == b"one\n"
    with log.open("ab") as more:
        more.write(b"two\n")
    assert b"".join(reader.more()) == b"two\n"
    os.truncate(log, 0)
    with log.open("ab") as more:
        more.write(b"3\n")
    assert b"".join(reader.more()) == b"3\n"
    log.rename(tmp_path / "agent.log.1")
    log.write_bytes(b"four\n")
    assert b"".join(reader.more()) == b"four\n"
    reader.end()


def test_a_log_that_begins_later_is_found(tmp_path: Path) -> None:
    reader = LogReader(opener(tmp_path), [])
    assert b"".join(reader.tail(10)) == b""
    assert not reader.has_log
    (tmp_path / "agent.log").write_bytes(b"one\n")
    assert b"".join(reader.more()) == b"one\n"
    assert reader.has_log
    reader.end()
