import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("crash.scenarios", "support.world")  # before the first import of any conftest below

# Properties are tried on the same examples in every run, at whatever pace; `--hypothesis-profile explore` draws others.
PACE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("explore", **PACE)
settings.register_profile("fixed", derandomize=True, **PACE)
settings.load_profile("fixed")
