"""
What is recorded of a run's own words: without its secrets, whose values are resolved once there are words to mask.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from reconciler.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model.desired import Desired


class Mask:
    """Masks the secrets that a deployment's run was given. A secret's command is run once at most."""

    def __init__(self, judge: Desired | None, environ: Mapping[str, str]) -> None:
        """`judge` is what the run was started for, None where nobody knows."""
        self._judge, self._environ = judge, environ
        self._redactor: Redactor | None = None

    async def __call__(self, said: bytes, *, cut: bool = False) -> str:
        """Give the text with every secret masked; `cut` says that it is a piece of a longer one."""
        if not said or self._judge is None:
            return said.decode(errors="replace")
        if self._redactor is None:
            self._redactor = Redactor(await asyncio.to_thread(self._secrets, self._judge))
        return self._redactor.masked(said, cut=cut).decode(errors="replace")

    def _secrets(self, judge: Desired) -> list[str]:
        from reconciler.values import secret_values

        return secret_values(judge.spec, self._environ, judge.recipe.source_dir, commands=True)[0]
