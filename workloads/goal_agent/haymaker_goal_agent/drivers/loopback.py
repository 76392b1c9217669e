"""
A proxy that the environment names must not come between an agent and a model server on its own machine.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from urllib.parse import urlsplit


def bypass_proxy(url: str) -> None:
    """Except the host of `url` from any proxy, for this process and what it starts, where it is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        is_here = ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    if is_here:
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = ",".join(part for part in (os.environ.get(name, ""), host) if part)
