"""
The same commands for people: click's help, mistakes explained, completion. Only imported when one of these is needed.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from agent_haymaker.errors import UsageError
from reconciler.cli.catalog import COMMANDS, SECTIONS, load_attribute
from reconciler.cli.elsewhere import LATER, elsewhere
from reconciler.cli.spec import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reconciler.cli.spec import Argument, Option

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def run_click(words: Sequence[str]) -> int:
    """
    Run a command line through click and give its exit code.

    Raises:
        UsageError: the words make no sense; says the nearest that would.
        KeyboardInterrupt: it was interrupted, or a question was left unanswered.
    """
    try:
        result = root().main(args=list(words), prog_name="haymaker", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        raise UsageError(_sentence(error), fix=_fix(error, words)) from error
    return result if isinstance(result, int) else 0


def _sentence(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        return f"{name} is not supported yet" if _is_later(error) else f"there is no option {name}"
    text = error.format_message().rstrip(".")
    return text[:1].lower() + text[1:]


def _is_later(error: click.NoSuchOption) -> bool:
    """Tell whether an option is one that its command is to have."""
    return error.option_name in LATER and error.ctx is not None and error.ctx.info_name in ("apply", "plan", "diff")


def _fix(error: click.ClickException, words: Sequence[str]) -> str:
    context = getattr(error, "ctx", None)
    named = f"haymaker {words[0]}" if words and words[0] in COMMANDS else "haymaker"
    path = context.command_path if context is not None else named
    if isinstance(error, click.NoSuchOption):
        if _is_later(error):
            return LATER[error.option_name]
        known = [name for p in context.command.params for name in p.opts] if context is not None else []
        near = _nearest(error.option_name, [*known, "--help"])
        if near:
            return f"did you mean {near}? `{path} --help` lists the options"
    if isinstance(error, UnknownCommand):
        if said := elsewhere(error.word, words[1:]):
            return said
        return (
            f"did you mean {error.near}? `{path} --help` lists the commands"
            if error.near
            else (f"`{path} --help` lists the commands")
        )
    if isinstance(error, TooManyWords) and context is not None:
        return _fix_extra(path, context.command, error)
    return f"`{path} --help` says what it takes"


def _fix_extra(path: str, command: click.Command, error: TooManyWords) -> str:
    """Say what was probably meant by words that a command does not take."""
    options = {name for parameter in command.params for name in parameter.opts}
    first = error.words[0]
    if "--filename" in options and os.path.exists(first):
        folder = first if os.path.isdir(first) else os.path.dirname(first) or "."
        if error.has_folder or len(error.words) > 1 or folder == first:
            return f"-f takes one folder, or one file: `{path} -f {shlex.quote(folder)}`"
        return f"did you mean `{path} -f {shlex.quote(first)}`?"
    if "--only" in options:
        only = " ".join(f"--only {shlex.quote(word)}" for word in error.words)
        return f"did you mean `{path} {only}`?"
    return f"`{path} --help` says what it takes"


COMMAND_NEAR = 0.7  # of difflib's ratio; `bogus` is not yet near to `logs`


def _nearest(word: str, known: Sequence[str], near: float = 0.6) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, known, 1, near)), "")


class UnknownCommand(click.UsageError):
    """No command has this name; `near` is the one that was probably meant."""

    def __init__(self, word: str, near: str, context: click.Context) -> None:
        super().__init__(f"there is no command {word!r}", context)
        self.word, self.near = word, near


class TooManyWords(click.UsageError):
    """More positional words than the command takes; `has_folder` tells that `-f` was given beside them."""

    def __init__(self, words: Sequence[str], context: click.Context, *, has_folder: bool) -> None:
        super().__init__(f"it does not take {' '.join(map(shlex.quote, words))}", context)
        self.words, self.has_folder = words, has_folder


class Spoken(click.Command):
    """A command that refuses a second value where one counts (`once`), and knows which words were too many."""

    def __init__(self, *args: Any, once: Mapping[str, str], **more: Any) -> None:
        super().__init__(*args, **more)
        self.once = once  # parameter -> how it is given

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = [p.name for p in self.make_parser(ctx).parse_args(args=list(args))[2]]
        twice = next((flag for name, flag in self.once.items() if given.count(name) > 1), None)
        if twice is not None and not ctx.resilient_parsing:
            raise click.UsageError(f"{twice} is given more than once, and one counts", ctx)
        ctx.allow_extra_args = True
        left = super().parse_args(ctx, args)
        if left and not ctx.resilient_parsing:
            raise TooManyWords(left, ctx, has_folder=any(name in self.once for name in given))
        return left


class Shared(click.Option):
    """An option whose variable other commands read too: what only they understand leaves it at its default."""

    def __init__(self, *args: Any, elsewhere: Sequence[str], **more: Any) -> None:
        super().__init__(*args, **more)
        self.elsewhere = elsewhere

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        value = super().resolve_envvar_value(ctx)
        known = self.type.choices if isinstance(self.type, click.Choice) else ()
        return None if value in self.elsewhere and value not in known else value


class LazyGroup(click.Group):
    """A group that knows its commands by a catalog and imports the one that is asked for."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, tuple[str, str]]], **more: Any) -> None:
        super().__init__(*args, **more)
        self.sections = sections

    @property
    def catalog(self) -> dict[str, tuple[str, str]]:
        return {name: entry for section in self.sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.catalog)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        entry = self.catalog.get(cmd_name)
        return as_click(cmd_name, load_attribute(entry[0])) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in self.catalog and not word.startswith("-"):
            raise UnknownCommand(word, _nearest(word, list(self.catalog), COMMAND_NEAR), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        width = max(map(len, self.catalog))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), help_line) for name, (_, help_line) in section.items()])


def as_click(name: str, found: object) -> click.Command:
    """Give the click command of whatever a catalog names: a spec, a catalog of its own, or a click command."""
    if isinstance(found, click.Command):
        return found
    if isinstance(found, dict):
        return LazyGroup(
            name, sections={"Commands": found["commands"]}, help=found["help"], context_settings=CONTEXT,
            no_args_is_help=False, invoke_without_command=True, callback=_help_of,
        )  # fmt: skip
    assert isinstance(found, Command), f"{name} is no command"
    return Spoken(
        name,
        once={option.param: option.names[0] for option in found.options if option.once},
        callback=found.run,
        params=[*map(_argument, found.arguments), *map(_option, found.options)],
        help=found.help,
        short_help=COMMANDS[name][1] if name in COMMANDS else None,
        context_settings=CONTEXT,
    )


def _argument(argument: Argument) -> click.Argument:
    return click.Argument(
        [argument.param],
        required=argument.required,
        nargs=-1 if argument.multiple else 1,
        metavar=argument.metavar,
        shell_complete=_completer(argument.completes),
    )


def _option(option: Option) -> click.Option:
    kinds: dict[str, Any] = {"int": click.IntRange(min=0), "choice": click.Choice(option.choices), "text": str}
    more: dict[str, Any] = {"is_flag": True} if option.kind == "flag" else {"type": kinds[option.kind]}
    if option.kind != "flag" and (option.shown or option.default not in (None, "", ())):
        more["show_default"] = option.shown or True
    return Shared(
        [option.param, *option.names],
        elsewhere=option.elsewhere,
        help=option.help,
        default=option.default,
        multiple=option.multiple,
        metavar=option.metavar or None,
        envvar=option.env or None,
        show_envvar=bool(option.env),
        hidden=option.hidden,
        shell_complete=_completer(option.completes),
        **more,
    )


def _completer(what: str) -> Callable[[click.Context, click.Parameter, str], list[str]] | None:
    """Give what completes a word of this kind: deployment, kind, field or shell; None for none of them."""
    if not what:
        return None

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        return [word for word in _words(what, incomplete) if word.startswith(incomplete)]

    return complete


def _words(what: str, incomplete: str) -> Iterable[str]:
    if what == "deployment":
        from reconciler.app import App
        from reconciler.lookup import known_names

        return known_names(App().home)
    if what == "shell":
        from reconciler.cli.completion import SHELLS

        return SHELLS
    from reconciler.manifest.schemas import MODELS, explain

    parent = incomplete.rpartition(".")[0] if what == "field" else ""
    if not parent:
        return MODELS
    try:
        return [f"{parent}.{field.name}" for field in explain(parent).fields]
    except UsageError:
        return ()


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from agent_haymaker import __version__

        click.echo(f"haymaker {__version__}")
        ctx.exit()


@click.pass_context
def _help_of(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def root() -> LazyGroup:
    """Give the `haymaker` command."""
    version = click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
        help="Print the version and end.",
    )  # fmt: skip
    return LazyGroup(
        "haymaker",
        sections=SECTIONS,
        params=[version],
        help="Declare agents in a folder of manifests; haymaker makes what runs agree with it.\n\n"
        "Start with `haymaker apply -f manifests/`, then `haymaker status`.",
        callback=_help_of,
        invoke_without_command=True,
        context_settings=CONTEXT,
    )
