"""
The errors of haymaker. Each class answers one question: who acts?

    HaymakerError
    ├── ManifestError              the author of a manifest, workload.yaml or goal
    ├── UsageError                 whoever typed the command
    ├── WorkloadError              the author of the workload
    │   └── DeploymentError        a deployment could not be made, stopped or cleaned up
    │       └── DeploymentNotFoundError
    ├── PlatformError              whoever owns the disk and the host
    │   └── DoubtError             a record cannot be read, so nothing may be done on its account
    ├── BlockedError               a guard refused; a person decides
    ├── LockedError                another holder has the lock
    ├── StalePlanError             the saved plan no longer fits what is there
    ├── LLMError                   who acts is said in agent_haymaker/llm/errors.py
    └── TryAgain                   nobody: the loop tries again

An error says what, where and what to do. No message ever holds a secret's value.
"""

from __future__ import annotations


class HaymakerError(Exception):
    """
    Anything haymaker reports to a person: `what` happened, `where`, and how to `fix` it.

    Published packages raise the ones they know as any exception, with whatever arguments, or none: then `what` is
    what the exception says by them, or what its class stands for.
    """

    def __init__(self, *what: object, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(*what)
        self.what = super().__str__() or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0]
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  fix: {self.fix}" if self.fix else text


class ManifestError(HaymakerError):
    """A file that a person wrote is wrong."""


class UsageError(HaymakerError):
    """The command line asks for something that makes no sense."""


class WorkloadError(HaymakerError):
    """A workload could not be found, loaded or used."""


class DeploymentError(WorkloadError):
    """A deployment could not be made, stopped or cleaned up."""


class DeploymentNotFoundError(DeploymentError):
    """No deployment has this name or id."""


class PlatformError(HaymakerError):
    """The host or its disk refuses."""


class DoubtError(PlatformError):
    """A record exists but cannot be read; it is kept, and nothing is done on its account."""


class BlockedError(HaymakerError):
    """A guard refuses the change until a person decides."""


class LockedError(HaymakerError):
    """Another process holds the lock of this HAYMAKER_HOME."""


class StalePlanError(HaymakerError):
    """Something moved after the plan was saved."""


class TryAgain(HaymakerError):  # noqa: N818 - reads as the instruction it is
    """A passing fault: the next pass may succeed without anybody's help."""
