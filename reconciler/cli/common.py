"""
Options that several commands share, each said once.
"""

from __future__ import annotations

from reconciler.cli.spec import Argument, Option

FORMS = ("table", "text", "wide", "json", "yaml", "name", "jsonl", "markdown")
"""Every word that some command takes behind -o: one HAYMAKER_OUTPUT stands for them all."""
NAME = Argument("name", "NAME", completes="deployment")
SELECTOR = Option(
    "selector",
    "-l",
    "--selector",
    help="Only those with these labels: team=a,tier!=dev.",
    default="",
    metavar="SELECTOR",
)
EDITS = Option(
    "edits",
    "--edits",
    kind="flag",
    help="Look whether manifests or goals were edited since the last apply: sync is Unknown then.",
)
FOLDER = Option(
    "filename", "-f", "--filename", help="Folder of manifests, or one file.", default="manifests", metavar="DIR",
    env="HAYMAKER_MANIFESTS", once=True,
)  # fmt: skip


def output_option(*choices: str, alias: str = "") -> Option:
    """Give `-o/--output` with these choices, the first of them the default; `alias` is one more short name."""
    names = ("-o", "--output", *((alias, "--format") if alias else ()))
    return Option(
        "output", *names, help="How to show it.", choices=choices, default=choices[0], env="HAYMAKER_OUTPUT",
        elsewhere=FORMS,
    )  # fmt: skip


def seconds(text: str, option: str) -> float:
    """
    Give a duration such as 90s, 15m or 1h30m in seconds.

    Raises:
        UsageError: it is none.
    """
    from agent_haymaker.errors import UsageError
    from reconciler.manifest.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no duration", fix="write it like 90s, 15m or 1h30m") from error
