"""
Which domain a goal belongs to, by weighted cues. Pure.

A cue is the stem of a word; what stands in the title counts three times, in the goal twice, elsewhere once. A tie
goes to the domain named first in `DOMAINS`, so the same words always give the same answer.
"""

from __future__ import annotations

from haymaker_goal_agent.models import DOMAINS

_ENOUGH = 4
"""Below this weight the cues are chance."""

_CUES: dict[str, dict[str, int]] = {
    "data-processing": {
        "csv": 3, "json": 2, "parse": 2, "transform": 3, "dataset": 3, "data": 2, "analys": 2, "analyz": 2,
        "aggregat": 3, "clean": 1, "etl": 4, "log": 1, "record": 1, "statistic": 2, "count": 1, "column": 2,
    },
    "security-analysis": {
        "security": 4, "vulnerab": 4, "cve": 4, "audit": 2, "secret": 2, "exploit": 3, "threat": 3, "attack": 3,
        "permission": 1, "scan": 1, "malware": 4, "intrusion": 4, "leak": 2,
    },
    "automation": {
        "automat": 4, "organiz": 3, "organis": 3, "rename": 2, "move": 1, "sort": 1, "file": 1, "folder": 2,
        "backup": 3, "clean up": 2, "batch": 2, "workflow": 2, "archive": 2,
    },
    "testing": {
        "test": 3, "pytest": 4, "coverage": 4, "regression": 3, "fuzz": 4, "unit": 1, "flaky": 4, "assert": 2,
        "bug": 1, "mutation": 3,
    },
    "deployment": {
        "deploy": 4, "release": 3, "rollout": 4, "rollback": 4, "kubernetes": 3, "container": 2, "docker": 2,
        "provision": 3, "terraform": 3, "infrastructure": 3, "publish": 2, "install": 1,
    },
    "monitoring": {
        "monitor": 4, "alert": 3, "metric": 3, "uptime": 4, "latency": 2, "health": 2, "watch": 2, "incident": 2,
        "dashboard": 3, "availability": 3, "probe": 1,
    },
    "integration": {
        "integrat": 4, "api": 2, "webhook": 4, "sync": 3, "connect": 2, "endpoint": 1, "import": 1, "export": 1,
        "migrat": 3, "oauth": 3, "bridge": 2,
    },
    "reporting": {
        "report": 3, "summar": 3, "document": 2, "chart": 2, "findings": 2, "digest": 2, "newsletter": 4,
        "changelog": 3, "overview": 2,
    },
}  # fmt: skip


def domain_of(title: str, goal: str, prose: str) -> str:
    """Name the domain whose cues weigh most; "general" when none weighs enough."""
    said = title.lower(), goal.lower(), prose.lower()
    weights = {domain: _weigh(cues, *said) for domain, cues in _CUES.items()}
    best = max(DOMAINS[:-1], key=lambda domain: weights[domain])
    return best if weights[best] >= _ENOUGH else "general"


def _weigh(cues: dict[str, int], title: str, goal: str, prose: str) -> int:
    return sum(
        weight * (3 * _count(cue, title) + 2 * _count(cue, goal) + _count(cue, prose)) for cue, weight in cues.items()
    )


def _count(cue: str, text: str) -> int:
    """How often a word of the text begins with the stem, at most twice: a word repeated is not a domain proven."""
    found, at = 0, text.find(cue)
    while at >= 0 and found < 2:
        found += at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_")
        at = text.find(cue, at + 1)
    return found
