"""
Who can carry out a goal: one module for each `sdk`, and what they have in common in `protocol`.

`script` works inside the agent's own process. The others bring an SDK along, so each attempt of theirs is a process of
its own (`worker`), which `hosted` starts and listens to: its memory, its threads and its faults end with it.
"""

from __future__ import annotations

DRIVERS = {
    "claude": "haymaker_goal_agent.drivers.claude:ClaudeDriver",
    "copilot": "haymaker_goal_agent.drivers.copilot:CopilotDriver",
    "microsoft": "haymaker_goal_agent.drivers.microsoft:MicrosoftDriver",
    "mini": "haymaker_goal_agent.drivers.mini:MiniDriver",
}
"""By sdk, where its driver is. Nothing is imported before an attempt of that sdk begins."""

SDKS = ("script", *DRIVERS)

REQUIRES = {
    "claude": {"claude_agent_sdk": "claude"},
    "copilot": {"copilot": "copilot"},
    "microsoft": {"agent_framework": "microsoft", "agent_framework_openai": "microsoft"},
}
"""By sdk: the top modules that its driver imports, each with the extra of agent-haymaker that brings it."""
