import pytest

pytest.register_assert_rewrite("crash.scenarios", "support.world")

from support.fixtures import world  # noqa: E402 - the rewrite comes before the first import

__all__ = ["world"]
