"""The agent SDKs, each in an environment of its own: `make check-sdks`. In any other environment these are not run."""

from goal_agent.conftest import agent
from model_server.fixtures import serve
from support.fixtures import world

__all__ = ["agent", "serve", "world"]
