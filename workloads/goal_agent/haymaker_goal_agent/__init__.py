"""
The goal agent: a goal written in markdown becomes an agent directory, and its `main.py` pursues it.

The five stages, each usable on its own: PromptAnalyzer → ObjectivePlanner → SkillSynthesizer → AgentAssembler →
GoalAgentPackager. Importing this package loads none of them: a running agent pays only for what it uses.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from agent_haymaker.goals.reading import Check, Criterion, Step
    from haymaker_goal_agent.analyzer import PromptAnalyzer
    from haymaker_goal_agent.assembler import AgentAssembler
    from haymaker_goal_agent.automode import AutoMode
    from haymaker_goal_agent.models import (
        ExecutionPlan,
        GoalAgentBundle,
        GoalDefinition,
        PlanPhase,
        SDKTool,
        SkillDefinition,
    )
    from haymaker_goal_agent.packager import GoalAgentPackager
    from haymaker_goal_agent.planner import ObjectivePlanner
    from haymaker_goal_agent.refine import PlanRefiner
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
    "PlanRefiner",
    "PromptAnalyzer",
    "SDKTool",
    "SkillDefinition",
    "SkillSynthesizer",
    "Step",
]

_HOMES = {
    "AgentAssembler": "haymaker_goal_agent.assembler",
    "AutoMode": "haymaker_goal_agent.automode",
    "Check": "agent_haymaker.goals.reading",
    "Criterion": "agent_haymaker.goals.reading",
    "GoalAgentPackager": "haymaker_goal_agent.packager",
    "GoalAgentWorkload": "haymaker_goal_agent.workload",
    "ObjectivePlanner": "haymaker_goal_agent.planner",
    "PlanRefiner": "haymaker_goal_agent.refine",
    "PromptAnalyzer": "haymaker_goal_agent.analyzer",
    "SkillSynthesizer": "haymaker_goal_agent.skills",
    "Step": "agent_haymaker.goals.reading",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "haymaker_goal_agent.models")), name)
