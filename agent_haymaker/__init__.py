"""The contract between haymaker and its workloads. Importing it does no I/O and loads no third party."""

from __future__ import annotations

__version__ = "0.3.0"
