"""
The words of the generator: a goal as read, the plan for it, the skills and tools it takes, the finished bundle.

Pure data, frozen. It refuses to know how any of it is found, and where it is written. Durations are seconds,
lines count from 1 in the goal's own file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_haymaker.goals.reading import Criterion, Note, Step

DOMAINS = (
    "data-processing",
    "security-analysis",
    "automation",
    "testing",
    "deployment",
    "monitoring",
    "integration",
    "reporting",
    "general",
)


COMPLEXITIES = ("simple", "moderate", "complex")


@dataclass(frozen=True, slots=True)
class GoalDefinition:
    """
    A goal as its author wrote it.

    `constraints` and `success_criteria` are verbatim; `criteria` are the latter with their checks. `context` maps
    the headings that are none of ours to their text. `notes` are remarks for the author: what was not understood
    as they may have meant it.

    Raises:
        ValueError: `domain` is none of DOMAINS, or `complexity` none of COMPLEXITIES.
    """

    goal: str
    domain: str  # one of DOMAINS
    constraints: tuple[str, ...] = ()
    success_criteria: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    complexity: str = "simple"  # one of COMPLEXITIES
    raw_prompt: str = ""
    title: str = ""
    criteria: tuple[Criterion, ...] = ()
    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        for name, value, known in (("domain", self.domain, DOMAINS), ("complexity", self.complexity, COMPLEXITIES)):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; it has to be one of {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class PlanPhase:
    """A stretch of the plan. `dependencies` are names of phases before it; `steps` may be empty."""

    name: str
    description: str
    required_capabilities: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    parallel_safe: bool = False
    estimated_duration: float = 0.0
    success_indicators: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Refinement:
    """
    That a model was asked about a plan: about which goal, which model, at what cost in tokens.

    `rejected` says what was wrong with its answer, which then was not taken.
    """

    goal_sha256: str
    model: str
    usage: Mapping[str, int] = field(default_factory=dict)
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """Three to five phases, in order. Without a `refinement` no model had a hand in it."""

    goal: GoalDefinition
    phases: tuple[PlanPhase, ...]
    required_skills: tuple[str, ...] = ()
    risk_factors: tuple[str, ...] = ()
    total_estimated_duration: float = 0.0
    refinement: Refinement | None = None


@dataclass(frozen=True, slots=True)
class SkillDefinition:
    """
    A skill in the open SKILL.md format; `content` is the whole file, front matter included.

    `files` are those beside its SKILL.md, by their path from there.
    """

    name: str
    description: str
    content: str
    source: str = "built-in"  # or "folder"
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SDKTool:
    """Something the SDK can do on the agent's behalf."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class SkillSet:
    """What a plan takes: skills for the agent to follow, tools for it to use."""

    skills: tuple[SkillDefinition, ...] = ()
    tools: tuple[SDKTool, ...] = ()


@dataclass(frozen=True, slots=True)
class GoalAgentBundle:
    """Everything an agent directory is made of. Two equal bundles are packaged to the same bytes."""

    name: str
    goal: GoalDefinition
    plan: ExecutionPlan
    skills: tuple[SkillDefinition, ...]
    tools: tuple[SDKTool, ...]
    sdk: str
    config: Mapping[str, object] = field(default_factory=dict)
