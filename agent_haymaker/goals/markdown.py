"""
Reading a goal's markdown: its sections, list items and fenced blocks, each with its line.

A real CommonMark parser finds the structure, so nested fences, setext headings, CRLF and quotations mean here what
they mean everywhere. It refuses to know what a section is for: `reading` decides that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.place import AT_COPY, Place

if TYPE_CHECKING:
    from markdown_it.token import Token

MAX_NESTING = 80
"""Of the parser's levels: a list takes two. Its own default is 20; each costs it a few frames of the stack."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Block:
    """
    A piece of a goal: a paragraph, the beginning of a list item, or a fenced block.

    `headings` are those it stands under, outermost first. `text` is the source, verbatim. `code` is what stands in
    backticks at the very end of a paragraph or item. `item` is the list item around it, `lead` the paragraph
    before it under the same heading.
    """

    kind: str  # paragraph, item, fence
    text: str
    line: int
    headings: tuple[str, ...]
    info: str = ""
    code: str = ""
    item: str = ""
    lead: str = ""
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A goal's structure. `title` is its first level-1 heading; `sections` are all headings: line, outer ones, text."""

    title: str
    blocks: tuple[Block, ...]
    place: Place
    sections: tuple[tuple[int, tuple[str, ...], str], ...] = ()


def decode(content: bytes, place: Place) -> str:
    """
    Give the text of a goal file, whole: a byte order mark stays, so that the same bytes can be written again.

    Raises:
        ManifestError: it is not UTF-8; says the line.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"byte 0x{content[error.start]:02x} is not UTF-8", where=place.at(line), fix="save the file as UTF-8"
        ) from None


def parse(text: str, place: Place = AT_COPY) -> Document:
    """
    Find the structure of a goal. Errors name its place.

    Raises:
        ManifestError: a fenced block is never closed, so that prose might be taken for code.
    """
    return _Reader(text.removeprefix("\ufeff"), place).read()


def parse_duration(text: str) -> float | None:
    """Give the seconds of `30s`, `5m`, `1h30m` or `500ms`; None when it is no duration above zero."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)) or None


class _Reader:
    """One walk over the parser's tokens."""

    def __init__(self, text: str, place: Place) -> None:
        self.lines = re.split(r"\r\n?|\n", text)
        self.text = text
        self.place = place
        self.title = ""
        self.headings: list[tuple[int, str]] = []
        self.items: list[str] = []
        self.quotes = 0
        self.lead = ""
        self.blocks: list[Block] = []
        self.sections: list[tuple[int, tuple[str, ...], str]] = []

    def read(self) -> Document:
        from markdown_it import MarkdownIt

        # Inside a paragraph only the code that it may end in matters. Emphasis and links change nothing about that,
        # and finding them takes quadratic time; what ends in no backtick is not looked into at all.
        parser = MarkdownIt("commonmark").disable(["emphasis", "link", "image"])
        self.parse_inline = parser.parseInline
        tokens = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING}).disable("inline").parse(self.text)
        # The parser leaves out what is nested deeper, and all that follows it: a step or a check may be among that.
        if deep := next((token for token in tokens if token.level >= MAX_NESTING - 1), None):
            raise ManifestError(
                "lists or quotations are nested too deeply here to be read",
                where=self.place.at(_line(deep)),
                fix=f"keep to at most {MAX_NESTING // 2 - 2} of them inside each other",
            )
        for index, token in enumerate(tokens):
            match token.type:
                case "heading_open" if token.level == 0:
                    self._heading(int(token.tag[1:]), tokens[index + 1].content.strip(), _line(token))
                case "inline" if tokens[index - 1].type != "heading_open" or token.level > 1:
                    self._prose(token, token.content)
                case "html_block" | "code_block" if self._opens_item() and not _is_comment(token.content):
                    self._prose(token, token.content.strip())
                case "fence":
                    self._fence(token)
                case "list_item_open":
                    self.items.append("")
                    self.lead = ""
                case "list_item_close":
                    self.items.pop()
                case "blockquote_open":
                    self.quotes += 1
                case "blockquote_close":
                    self.quotes -= 1
                case _:
                    pass
        return Document(self.title, tuple(self.blocks), self.place, tuple(self.sections))

    def _heading(self, level: int, text: str, line: int) -> None:
        self.lead = ""
        if level == 1 and not self.title:
            self.title = " ".join(text.split())
        self.headings = [known for known in self.headings if known[0] < level]
        self.sections.append((line, tuple(outer for _, outer in self.headings), text))
        self.headings.append((level, text))

    def _opens_item(self) -> bool:
        return bool(self.items) and not self.items[-1]

    def _prose(self, token: Token, text: str) -> None:
        opens_item = self._opens_item()
        if opens_item:
            self.items[-1] = text
        self.lead = text
        self._add("item" if opens_item else "paragraph", text, _line(token), code=self._code_at_end(text))

    def _code_at_end(self, text: str) -> str:
        """Give the code in backticks that a paragraph ends in, "" when it ends in anything else."""
        if not text.rstrip().endswith("`"):
            return ""
        for child in reversed(self.parse_inline(text)[0].children or []):
            if child.type == "code_inline":
                return child.content.strip()
            if child.type not in ("softbreak", "hardbreak") and (child.type != "text" or child.content.strip()):
                return ""
        return ""

    def _fence(self, token: Token) -> None:
        first, end = token.map or (0, 0)
        last = self.lines[end - 1].lstrip(" \t>") if end - 1 > first else ""
        if not re.fullmatch(rf"{re.escape(token.markup[0])}{{{len(token.markup)},}}\s*", last):
            raise ManifestError(
                f"the fenced block that opens here with {token.markup} is never closed",
                where=self.place.at(first + 1),
                fix=f"add a line {token.markup} behind its last line",
            )
        item = next((text for text in reversed(self.items) if text), "")
        self._add("fence", token.content, first + 2, info=token.info.strip(), item=item, lead=self.lead)
        self.lead = ""

    def _add(
        self, kind: str, text: str, line: int, *, info: str = "", code: str = "", item: str = "", lead: str = ""
    ) -> None:
        headings = tuple(text for _, text in self.headings)
        self.blocks.append(Block(kind, text, line, headings, info, code, item, lead, self.quotes > 0))


def _is_comment(html: str) -> bool:
    return html.lstrip().startswith("<!--")


def _line(token: Token) -> int:
    return (token.map[0] if token.map else 0) + 1
