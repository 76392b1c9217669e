"""What is wrong with a folder of manifests, as a person wants to be told it: what, where, and how to fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_haymaker.lean import dataclass, field

if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `where` is "file:line:column field", as far as each is known."""

    what: str
    where: str
    fix: str
    name: str | None = None  # the deployment it concerns, if that could be told
    severity: str = "error"  # error, warning

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n  fix: {self.fix}"


@dataclass(frozen=True, slots=True)
class Flaw:
    """A problem before it has an address: `file` is relative to the folder, lines count from 1 (0: unknown)."""

    what: str
    fix: str
    file: str
    line: int = 0
    column: int = 0
    field: str = ""
    name: str | None = None
    severity: str = "error"
    unreadable: bool = False  # nobody can tell what the file declares
    is_shared: bool = False  # in a Fleet or a Workload: it bears on other files

    def sort_key(self) -> tuple[Any, ...]:
        return (self.file, self.line, self.column, self.field, self.what)

    def as_problem(self, prefix: str) -> Problem:
        """Give it the address that the user will recognise: `prefix` is the folder as they typed it."""
        place = clean(f"{prefix}{self.file}")
        if self.line:
            place += f":{self.line}:{self.column}" if self.column else f":{self.line}"
        where = f"{place} {clean(self.field)}".rstrip()
        return Problem(clean(self.what), where, clean(self.fix), self.name, self.severity)


def clean(text: str) -> str:
    """Make text from a file fit for a terminal: no control characters, no half of a surrogate pair."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


@dataclass(slots=True)
class Flaws:
    """Collects what is wrong while loading goes on."""

    found: list[Flaw] = field(default_factory=list)

    def add(self, what: str, *, fix: str, file: str, **rest: Any) -> None:
        self.found.append(Flaw(what, fix, file, **rest))
