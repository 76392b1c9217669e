"""
Label selectors, as kubectl writes them: `team=platform,tier!=dev,owner`, `env in (a, b)`, `!legacy`. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent_haymaker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<a>[\w./-]+)"
    r"|(?P<key>[\w./-]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*"
)


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """
    Tell whether the labels satisfy every term of the selector.

    Raises:
        UsageError: the selector cannot be read.
    """
    position, verdict = 0, True
    while position < len(selector):
        term = _TERM.match(selector, position)
        if term is None or (term.end() < len(selector) and selector[term.end()] != ","):
            raise UsageError(
                f"the selector {selector!r} cannot be read at {selector[position:]!r}",
                fix="write it like team=platform,tier!=dev or 'env in (a, b)'",
            )
        verdict = _holds(term, labels) and verdict
        position = term.end() + 1
    return verdict


def _holds(term: re.Match[str], labels: Mapping[str, str]) -> bool:
    if term["absent"]:
        return term["a"] not in labels
    value = labels.get(term["key"])
    if term["op"] in ("=", "=="):
        return value == term["value"]
    if term["op"] == "!=":
        return value != term["value"]
    if term["set"]:
        among = {v.strip() for v in term["values"].split(",")}
        return value is not None and value in among if term["set"] == "in" else value not in among
    return value is not None
