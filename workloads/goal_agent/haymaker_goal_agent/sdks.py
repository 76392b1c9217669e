"""
Who can carry a goal out: each SDK, the tools it gives the agent, and what must be there before it can run.

A table and nothing else: no SDK is imported to make an agent for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from haymaker_goal_agent.models import SDKTool

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class SDK:
    """
    One SDK. `always` are tools that every plan gets; `when` adds those that a language or a capability asks for.

    `needs` says in words what a run needs beside haymaker itself. `has_model` is False for the one that needs none.
    """

    name: str
    always: tuple[SDKTool, ...] = ()
    when: tuple[tuple[str, SDKTool], ...] = ()
    needs: tuple[str, ...] = ()
    has_model: bool = True

    def is_served_by(self, tools: Iterable[SDKTool]) -> bool:
        """Whether these are tools of this SDK, and those that every plan gets are among them."""
        given, known = set(tools), {*self.always, *(tool for _, tool in self.when)}
        return set(self.always) <= given <= known


_SCRIPT = SDK(
    "script",
    when=(
        ("bash", SDKTool("bash", "Runs a step with `bash --noprofile --norc -e -o pipefail`.")),
        ("python", SDKTool("python", "Runs a step with the interpreter that runs the agent.")),
        ("sh", SDKTool("sh", "Runs a step with `sh -e`: the first command that fails ends the step.")),
    ),
    has_model=False,
)
_CLAUDE = SDK(
    "claude",
    always=(
        SDKTool("Bash", "Runs a shell command."),
        SDKTool("Edit", "Replaces a passage of a file."),
        SDKTool("Glob", "Finds files by name."),
        SDKTool("Grep", "Finds lines by pattern."),
        SDKTool("Read", "Reads a file."),
        SDKTool("Write", "Writes a file."),
    ),
    when=(
        ("network", SDKTool("WebFetch", "Fetches a page.")),
        ("network", SDKTool("WebSearch", "Searches the web.")),
    ),
    needs=("pip install 'agent-haymaker[claude]'", "ANTHROPIC_API_KEY in the environment"),
)
_COPILOT = SDK(
    "copilot",
    always=(
        SDKTool("bash", "Runs a shell command."),
        SDKTool("create", "Writes a new file."),
        SDKTool("edit", "Replaces a passage of a file."),
        SDKTool("glob", "Finds files by name."),
        SDKTool("grep", "Finds lines by pattern."),
        SDKTool("view", "Reads a file or lists a folder."),
    ),
    when=(("network", SDKTool("web_fetch", "Fetches a page.")),),
    needs=(
        "pip install 'agent-haymaker[copilot]'",
        "the Copilot CLI: npm install -g @github/copilot, or its path in COPILOT_CLI_PATH",
        "a Copilot login, or a provider of your own in COPILOT_PROVIDER_BASE_URL and COPILOT_MODEL",
    ),
)
_MICROSOFT = SDK(
    "microsoft",
    always=(
        SDKTool("read_file", "Reads a file of the workspace."),
        SDKTool("shell", "Runs a shell command in the workspace."),
        SDKTool("write_file", "Writes a file of the workspace."),
    ),
    needs=(
        "pip install 'agent-haymaker[microsoft]'",
        "OPENAI_API_KEY and OPENAI_MODEL in the environment, or AZURE_OPENAI_ENDPOINT, _DEPLOYMENT and maybe _API_KEY",
    ),
)
_MINI = SDK(
    "mini",
    always=(SDKTool("shell", "Runs a shell command in the workspace."),),
    needs=(
        "pip install 'agent-haymaker[llm]'",
        "the key of the provider that LLM_PROVIDER names; ANTHROPIC_API_KEY when it is not set",
    ),
)

SDKS: dict[str, SDK] = {sdk.name: sdk for sdk in (_SCRIPT, _CLAUDE, _COPILOT, _MICROSOFT, _MINI)}
"""By name, the embedded default first."""
