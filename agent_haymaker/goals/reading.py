"""
A goal prompt, read: what it asks, its constraints, its success criteria with their checks, the steps it gives.

The language of goals is shared: the reconciler decides GoalMet by the checks it finds here, and the goal agent
follows the steps. A criterion under its heading is a criterion, verbatim; a fenced block is a step. In a goal without
any heading of ours a line such as `Success criteria:` stands for one, and where there is none either, cues in the prose
decide. It refuses to know how the goal will be pursued.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace

from agent_haymaker.errors import ManifestError
from agent_haymaker.goals.commands import EMPTY_FIX
from agent_haymaker.goals.headings import meant_by, role_of
from agent_haymaker.goals.markdown import Block, Document, parse, parse_duration
from agent_haymaker.goals.place import AT_COPY, Place

LANGUAGES = ("sh", "bash", "python")
"""What a fenced block may be written in to be run."""

MAX_CODE_BYTES = 100_000
"""A step is handed to its interpreter as one argument; the kernel takes 131072 bytes in one."""

_NOT_RUN = {"constraints": "Constraints", "context": "a section that only informs"}
_NEARLY = {"shell": "sh", "zsh": "sh or bash", "ksh": "sh", "dash": "sh", "py": "python", "python3": "python"}
_CONSTRAINT_CUE = re.compile(
    r"\b(must not|do not|don't|never|only|without|avoid|at most|no more than)\b", re.IGNORECASE
)
_CRITERION_CUE = re.compile(
    r"\b(should|success|succeeds?|done when|must (?!not\b)|expected|verify that)\b", re.IGNORECASE
)
_NO_PROGRAM = re.compile(r"(?![./~])[\w./-]+(?:/|\.(?:csv|html?|json|jsonl|log|md|pdf|png|svg|toml|tsv|txt|xml|ya?ml))")
"""A check that is nothing but the name of such a file or folder: its author means that it should be there."""
_LABEL = re.compile(r"[*_]*([A-Za-z ]{4,24}?)[*_]*:[*_]*(?:\s+(.*))?", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")


@dataclass(frozen=True, slots=True)
class Step:
    """One fenced block to run. `line` is the first line of its code; `group` is the heading or list item above it."""

    language: str
    code: str
    line: int
    title: str
    group: str
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A machine check: the criterion holds if this program exits 0. `timeout` None means the agent's default."""

    language: str
    code: str
    line: int
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Criterion:
    """One success criterion, verbatim. Without a check nothing can tell whether it is met."""

    text: str
    line: int
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A remark for the author: what was not understood as they may have meant it. `fix` where it looks like a slip."""

    line: int
    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.fix}" if self.fix else self.text


def read_goal(text: str, place: Place = AT_COPY) -> Reading:
    """
    Read a goal prompt; errors name its place.

    Raises:
        ManifestError: a fenced block is never closed, or one that is to be run is wrong.
    """
    return Reading(parse(text, place))


class Reading:
    """A document, sorted by what each block is for."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.place = document.place
        self.notes: list[Note] = _slips(document)
        self.blocks = _with_roles(document)
        self.by_role: dict[str, list[Block]] = {}
        for role, block in self.blocks:
            self.by_role.setdefault(role, []).append(block)
        self.has_structure = any(self.by_role.keys() - {""})

    def goal(self) -> str:
        """
        Give what is to be achieved: what stands under Goal, else the first paragraph, else the title.

        Raises:
            ManifestError: nothing says it.
        """
        said = [block.text for block in self.by_role.get("goal", []) if block.kind != "fence"]
        if not said:
            other = self.by_role.get("", [])
            said = [block.text for block in other if block.kind == "paragraph"][:1]
        if goal := ("\n\n".join(said) or self.document.title):
            return goal
        raise ManifestError("the goal is empty", where=self.place.at(1), fix=EMPTY_FIX)

    def constraints(self) -> tuple[str, ...]:
        if not self.has_structure:
            return tuple(s for s in self._sentences() if _CONSTRAINT_CUE.search(s))
        return tuple(block.text for block in _items_or_paragraphs(self.by_role.get("constraints", [])))

    def criteria(self) -> tuple[Criterion, ...]:
        found = self._criteria_in_section() if self.has_structure else self._criteria_in_prose()
        if not found:
            self._note_unchecked()
        return found

    def _criteria_in_section(self) -> tuple[Criterion, ...]:
        found: list[Criterion] = []
        unchecked: dict[str, deque[int]] = {}  # by text: the places in `found` that have no check yet
        section = self.by_role.get("criteria", [])
        chosen = {block.kind for block in _items_or_paragraphs(section)}
        for block in section:
            if block.kind in chosen:
                found.append(self._criterion(block))
                if found[-1].check is None:
                    unchecked.setdefault(block.text, deque()).append(len(found) - 1)
            elif block.kind == "fence":
                self._attach(found, unchecked, block)
        return tuple(found)

    def steps(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        for role, block in self.blocks:
            if block.kind != "fence" or role == "criteria":
                continue
            reason = "a quotation" if block.quoted else _NOT_RUN.get(role)
            if (ran := self._runnable(block, shows=bool(reason))) is None:
                continue
            language, timeout = ran
            if reason:
                self.notes.append(Note(block.line, f"this {language} block is not run: it is in {reason}"))
                continue
            heading = block.headings[-1] if block.headings else self.document.title
            group = first_line(block.item or heading) or "Steps"
            title = first_line(block.item or block.lead or heading) or group
            steps.append(Step(language, block.text, block.line, title, group, timeout))
        return tuple(steps)

    def why_no_steps(self) -> str:
        """Name the first blocks that might have been steps, by line and language; "" where there is none."""
        blocks = [b for role, b in self.blocks if b.kind == "fence" and role not in ("criteria", *_NOT_RUN)]
        told = (f"is in `{b.info.split()[0]}`" if b.info else "names no language" for b in blocks[:3])
        lines = (self.place.line(b.line - 1) for b in blocks)
        return ", ".join(f"the block at line {line} {how}" for line, how in zip(lines, told, strict=False))

    def context(self) -> dict[str, str]:
        said: dict[str, list[str]] = {}
        for block in [*self.by_role.get("", []), *self.by_role.get("context", [])]:
            if block.kind != "fence" and block.headings and block.headings[-1] != self.document.title:
                said.setdefault(block.headings[-1], []).append(block.text)
        return {heading: "\n\n".join(texts) for heading, texts in said.items()}

    def _criterion(self, block: Block) -> Criterion:
        return Criterion(block.text, block.line, self._check(block) if block.code else None)

    def _check(self, block: Block) -> Check:
        """The program that stands in backticks at the end of a block."""
        if _NO_PROGRAM.fullmatch(block.code):
            fix = f"write `test -e {block.code}` if it has to be there, or `./{block.code}` to run it"
            self.notes.append(Note(block.line, f"the check `{block.code}` runs that as a program", fix))
        return Check("sh", self._bounded(block.code, block.line), block.line)

    def _attach(self, found: list[Criterion], unchecked: dict[str, deque[int]], block: Block) -> None:
        """A runnable fence under the criteria is the check of the item around it, or one of its own."""
        if (ran := self._runnable(block)) is None:
            return
        check = Check(ran[0], block.text, block.line, ran[1])
        text = block.item or block.lead or f"the {ran[0]} block at line {self.place.line(block.line)}"
        if waiting := unchecked.get(text):
            index = waiting.popleft()
            found[index] = Criterion(text, found[index].line, check)
            return
        found.append(Criterion(text, block.line, check))

    def _runnable(self, block: Block, *, shows: bool = False) -> tuple[str, float | None] | None:
        """Give the language and timeout of a fence that is to be run; None when it only shows something, as `shows`."""
        words = block.info.split()
        language = words[0].lower() if words else ""
        if language not in LANGUAGES:
            if language in _NEARLY:
                fix = f"write `{_NEARLY[language]}` to run it"
                self.notes.append(Note(block.line - 1, f"a `{language}` block is not run", "" if shows else fix))
            return None
        self._bounded(block.text, block.line)
        timeout = None
        for word in words[1:]:
            key, _, value = word.partition("=")
            if key != "timeout":
                raise ManifestError(
                    f"`{word}` means nothing behind `{language}`",
                    where=self.place.at(block.line - 1),
                    fix="only timeout=DURATION may follow, such as timeout=30s",
                )
            timeout = parse_duration(value)
            if timeout is None:
                raise ManifestError(
                    f"`{value}` is not a duration above zero",
                    where=f"{self.place.at(block.line - 1)} timeout",
                    fix="write it like 500ms, 30s, 5m or 1h30m",
                )
        return language, timeout

    def _bounded(self, code: str, line: int) -> str:
        if len(code.encode()) > MAX_CODE_BYTES:
            raise ManifestError(
                f"this block has {len(code.encode())} bytes; at most {MAX_CODE_BYTES} can be run",
                where=self.place.at(line),
                fix='keep the program in a file beside the manifest and run it from "$HAYMAKER_SOURCE_DIR"',
            )
        return code

    def _note_unchecked(self) -> None:
        """Tell of commands under the goal's last heading that look like checks: it may be in another language."""
        if not self.document.sections:
            return
        line, _, heading = self.document.sections[-1]
        under = [block for role, block in self.blocks if not role and block.line > line and not block.quoted]
        commands = [block for block in under if block.kind == "item" and " " in block.code]
        if commands and line not in {note.line for note in self.notes}:
            what = f"the commands under '{first_line(heading)}' check nothing, and the goal has no success criteria"
            self.notes.append(Note(line, what, "call that section Success Criteria to have them checked"))

    def _criteria_in_prose(self) -> tuple[Criterion, ...]:
        found = []
        for block in self.document.blocks:
            if block.kind == "fence":
                continue
            sentences = _SENTENCE.split(block.text)
            for sentence in sentences:
                if _CRITERION_CUE.search(sentence) and not _CONSTRAINT_CUE.search(sentence):
                    check = self._check(block) if block.code and sentence is sentences[-1] else None
                    found.append(Criterion(sentence, block.line, check))
        return tuple(found)

    def _sentences(self) -> list[str]:
        return [s for block in self.document.blocks if block.kind != "fence" for s in _SENTENCE.split(block.text)]


def _with_roles(document: Document) -> list[tuple[str, Block]]:
    """Give each block with what it is for: what the innermost heading that we know says, "" when none does."""
    blocks = [(_role_under(block.headings), block) for block in document.blocks]
    return blocks if any(role for role, _ in blocks) else _by_labels(document.blocks)


def _by_labels(blocks: tuple[Block, ...]) -> list[tuple[str, Block]]:
    """The same for a goal without a heading of ours: a paragraph `Constraints:` opens what it names."""
    found: list[tuple[str, Block]] = []
    role = ""
    headings: tuple[str, ...] = ()
    for block in blocks:
        if block.headings != headings:
            role, headings = "", block.headings
        label = _LABEL.fullmatch(block.text) if block.kind == "paragraph" and not block.quoted else None
        named = role_of(label[1]) if label else ""
        if label is None or not named:
            found.append((role, block))
            continue
        role = named
        if label[2]:
            found.append((role, replace(block, text=label[2])))
    return found


def _role_under(headings: tuple[str, ...]) -> str:
    for heading in reversed(headings):
        if role := role_of(heading):
            return role
    return ""


def _slips(document: Document) -> list[Note]:
    """Tell of each heading that is none of ours, but nearly."""
    meant: dict[str, str] = {}
    notes = []
    for line, outer, heading in document.sections:
        if heading not in meant:
            meant[heading] = meant_by(heading)
        near = meant[heading]
        if near and _role_under(outer) != role_of(near):
            notes.append(Note(line, f"the heading '{first_line(heading)}' means nothing here", f"did you mean {near}?"))
    return notes


def _items_or_paragraphs(section: list[Block]) -> list[Block]:
    """List items where there are any: a paragraph beside a list only introduces it."""
    return [b for b in section if b.kind == "item"] or [b for b in section if b.kind == "paragraph"]


def first_line(text: str) -> str:
    """The start of a text as a title: one line, no markup, whole words, at most 72 characters."""
    line = " ".join(text.split())
    line = _SENTENCE.split(line)[0].replace("`", "").replace("**", "").strip(" .:")
    return line if len(line) <= 72 else line[:71].rpartition(" ")[0].rstrip(" ,;:") + "…"
