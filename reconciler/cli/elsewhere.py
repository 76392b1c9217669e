"""
What people type who come from another tool, and what does it here.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from reconciler.cli.catalog import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Sequence

_STOP = "set `desiredState: stopped` in its manifest, then run `haymaker apply`"
_RUN = "write a manifest (docs/manifests.md has examples), then run `haymaker apply -f DIR`"
_EDIT = "edit its manifest, then run `haymaker apply`"
_RENEW = "give its manifest another value of the annotation `haymaker/restartedAt`, then run `haymaker apply`"
_GONE = "take its manifest away, then run `haymaker apply --prune`; `haymaker delete -f DIR` deletes a whole folder's"
_NO_DAEMON = "there is no daemon yet: run `haymaker apply` again, by a timer if need be; `--wait` follows what it began"

# {name} is the last word before its options, or behind it at all, or NAME.
SAID = {
    "help": "`haymaker {command}--help` is the help",
    "restart": f"to restart it, {_RENEW}",
    "rerun": f"to run it again, {_RENEW}",
    "retry": f"to run it again, {_RENEW}",
    "stop": f"to stop it, {_STOP}",
    "kill": f"to stop it, {_STOP}",
    "pause": "set `suspend: true` in its manifest (or `desiredState: stopped`), then run `haymaker apply`",
    "suspend": "set `suspend: true` in its manifest, then run `haymaker apply`",
    "resume": "set `suspend: false` in its manifest, then run `haymaker apply`",
    "scale": f"there is one agent to a deployment: {_RUN}",
    "start": "set `desiredState: running` in its manifest (the default), then run `haymaker apply`",
    "deploy": f"{_RUN}",
    "run": f"{_RUN}",
    "up": f"{_RUN}",
    "create": f"{_RUN}",
    "init": f"{_RUN}",
    "edit": f"{_EDIT}",
    "set": f"{_EDIT}",
    "patch": f"{_EDIT}",
    "annotate": f"{_EDIT}",
    "label": f"{_EDIT}",
    "rollback": "put the older manifest back (`git revert`), then run `haymaker apply`; {name}'s runs: "
    "`haymaker runs {name}`",
    "undo": "put the older manifest back (`git revert`), then run `haymaker apply`",
    "cleanup": f"{_GONE}",
    "rm": f"{_GONE}",
    "remove": f"{_GONE}",
    "destroy": "`haymaker delete -f DIR` deletes everything of a folder",
    "artifacts": "what is kept of past runs is in $HAYMAKER_HOME/runs; `haymaker runs {name} -o wide` has their keys",
    "gc": "what is kept of past runs is bounded by `artifacts.retention` of each manifest",
    "convert": f"flat deployment configs are not converted yet: {_RUN}",
    "service": _NO_DAEMON,
    "down": "`haymaker delete -f DIR` deletes everything of a folder",
    "prune": "`haymaker apply -f DIR --prune` does",
    "sync": "`haymaker apply -f DIR` does; `haymaker apply --only NAME` for one",
    "reconcile": "`haymaker apply -f DIR` does; `haymaker apply --only NAME` for one",
    "refresh": "every look looks anew: `haymaker status`",
    "get": "`haymaker list` shows them all, `haymaker status NAME -o yaml` one of them",
    "show": "`haymaker status {name}` shows it, `haymaker why {name}` what follows",
    "describe": "`haymaker status {name}` shows it, `haymaker why {name}` what follows",
    "inspect": "`haymaker status {name} -o yaml` shows it, `haymaker why {name}` what follows",
    "ps": "`haymaker list` shows what there is, `haymaker status` how it stands",
    "ls": "`haymaker list` shows what there is",
    "top": "`haymaker status -w` shows it again whenever it changes",
    "watch": "`haymaker status -w` shows it again whenever it changes, `haymaker logs -f NAME` what it writes",
    "log": "`haymaker logs {name}` shows what it wrote",
    "tail": "`haymaker logs -f {name}` shows what it writes",
    "history": "`haymaker runs {name}` shows its runs",
    "lint": "`haymaker validate DIR` checks manifests",
    "check": "`haymaker validate DIR` checks manifests, `haymaker doctor` this host",
    "docs": "`haymaker explain KIND.FIELD` explains a field",
    "version": "`haymaker --version` tells it",
    "config": "`haymaker explain fleet.spec` explains a fleet's settings; `haymaker doctor` shows this host's",
}

# Options of `apply` and `plan` that are to come.
LATER = {
    "--watch": _NO_DAEMON,
    "--interval": _NO_DAEMON,
    "--ref": "check the revision out, and name that folder with -f; `haymaker plan --base REV` compares with one",
}


def elsewhere(word: str, after: Sequence[str]) -> str:
    """Say what does here what `word` does in another tool, "" where nothing is known of it."""
    words = list(takewhile(lambda w: not w.startswith("-"), after)) or [w for w in after if not w.startswith("-")]
    name = words[-1] if words else ""
    command = f"{name} " if name in COMMANDS else ""
    return SAID.get(word, "").format(name=name or "NAME", command=command)
