"""
What a command takes, said once: the quick reader below and click both work from it.

click costs more to import than most commands need to run. So what is plainly right is read here, without it; anything
else (help, a mistake, a bundle of flags, a value from the environment) goes to click, which speaks with people.
It refuses to know any command.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


class Option:
    """
    One option. `kind` is flag, text, int or choice; `env` names the variable that gives it when no flag does.

    `completes` says what the shell may offer for it, `shown` what help says of a default that the command itself works
    out. With `once`, a second one is a mistake and no correction of the first. `elsewhere` are values that `env` may
    have for the sake of other commands: to this one they say nothing.
    """

    __slots__ = (
        "choices", "completes", "default", "elsewhere", "env", "help", "hidden", "kind", "metavar", "multiple", "names",
        "once", "param", "shown",
    )  # fmt: skip

    def __init__(
        self,
        param: str,
        *names: str,
        help: str,  # noqa: A002 - click's own word
        kind: str = "text",
        choices: tuple[str, ...] = (),
        default: Any = None,
        multiple: bool = False,
        metavar: str = "",
        completes: str = "",
        env: str = "",
        hidden: bool = False,
        once: bool = False,
        shown: str = "",
        elsewhere: tuple[str, ...] = (),
    ) -> None:
        self.param, self.names, self.help = param, names, help
        self.elsewhere = elsewhere
        self.kind = "choice" if choices else kind
        self.choices, self.multiple, self.metavar, self.env, self.hidden = choices, multiple, metavar, env, hidden
        self.once, self.shown, self.completes = once, shown, completes
        self.default = () if multiple else (default if kind != "flag" else bool(default))


class Argument:
    """One positional argument, or with `multiple` all that are left. `completes` says what the shell may offer."""

    __slots__ = ("completes", "metavar", "multiple", "param", "required")

    def __init__(
        self, param: str, metavar: str, *, required: bool = True, multiple: bool = False, completes: str = ""
    ) -> None:
        self.param, self.metavar, self.required = param, metavar, required
        self.multiple, self.completes = multiple, completes


class Command:
    """One command: `run` gets every parameter by keyword and gives the exit code, None for 0."""

    __slots__ = ("arguments", "help", "options", "run")

    def __init__(
        self, run: Callable[..., int | None], *, help: str, takes: Sequence[Argument | Option] = ()  # noqa: A002
    ) -> None:  # fmt: skip
        self.run, self.help = run, help
        self.arguments = tuple(t for t in takes if isinstance(t, Argument))
        self.options = tuple(t for t in takes if isinstance(t, Option))


def read_plainly(command: Command, words: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Give the values of every parameter, or None where click has something to say about these words."""
    known = {name: option for option in command.options for name in option.names}
    values: dict[str, Any] = {}
    positional: list[str] = []
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word == "-" or not word.startswith("-"):
            positional.append(word)
            continue
        name, value = _split(word)
        option = known.get(name)
        if option is None:
            return None
        if option.kind == "flag":
            if value is not None:
                return None
            values[option.param] = True
            continue
        if value is None:
            if not left:
                return None
            value = left.pop()
            if value.startswith("-"):
                return None
        read = _convert(option, value)
        if read is None or (option.once and option.param in values):
            return None
        if option.multiple:
            values[option.param] = (*values.get(option.param, ()), read)
        else:
            values[option.param] = read
    for option in command.options:
        if option.param not in values:
            if option.env and environ.get(option.env):
                return None
            values[option.param] = option.default
    return values if _place(command, positional, values) else None


def _split(word: str) -> tuple[str, str | None]:
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    return word[:2], word[2:] or None


def _convert(option: Option, value: str) -> str | int | None:
    if option.kind == "int":
        return int(value) if value.isascii() and value.isdigit() else None
    if option.kind == "choice":
        return value if value in option.choices else None
    return value


def _place(command: Command, words: list[str], values: dict[str, Any]) -> bool:
    """Hand the positional words out; False where there are too many or too few."""
    for argument in command.arguments:
        if argument.multiple:
            values[argument.param], words = tuple(words), []
        else:
            values[argument.param], words = (words[0] if words else None), words[1:]
        if argument.required and not values[argument.param]:
            return False
    return not words
