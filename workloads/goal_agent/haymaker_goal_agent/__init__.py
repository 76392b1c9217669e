"""
The goal agent: a goal written in markdown becomes an agent directory, and its `main.py` pursues it.

The five stages, each usable on its own: PromptAnalyzer → ObjectivePlanner → SkillSynthesizer → AgentAssembler →
GoalAgentPackager. Importing this package loads none of them: a running agent pays only for what it uses.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from haymaker_goal_agent.analyzer import PromptAnalyzer
    from haymaker_goal_agent.assembler import AgentAssembler
    from haymaker_goal_agent.automode import AutoMode
    from haymaker_goal_agent.models import (
        Check,
        Criterion,
        ExecutionPlan,
        GoalAgentBundle,
        GoalDefinition,
        PlanPhase,
        SDKTool,
        SkillDefinition,
        Step,
    )
    from haymaker_goal_agent.packager import GoalAgentPackager
    from haymaker_goal_agent.planner import ObjectivePlanner
    from haymaker_goal_agent.skills import SkillSynthesizer
    from haymaker_goal_agent.workload import GoalAgentWorkload

__all__ = [
    "AgentAssembler",
    "AutoMode",
    "Check",
    "Criterion",
    "ExecutionPlan",
    "GoalAgentBundle",
    "GoalAgentPackager",
    "GoalAgentWorkload",
    "GoalDefinition",
    "ObjectivePlanner",
    "PlanPhase",
    "PromptAnalyzer",
    "SDKTool",
    "SkillDefinition",
    "SkillSynthesizer",
    "Step",
]

_HOMES = {
    "AgentAssembler": "assembler",
    "AutoMode": "automode",
    "GoalAgentPackager": "packager",
    "GoalAgentWorkload": "workload",
    "ObjectivePlanner": "planner",
    "PromptAnalyzer": "analyzer",
    "SkillSynthesizer": "skills",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'models')}"), name)
