import pytest

pytest.register_assert_rewrite("crash.scenarios", "support.world")  # before the first import of any conftest below
