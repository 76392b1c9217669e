"""
A scripted model behind a real HTTP server on the loopback: it speaks what the SDKs speak, and records what they ask.

    with ModelServer(call("bash", command="ls"), say("Done.")) as server:
        ...  # point an SDK at server.url (Anthropic, Azure) or at server.openai_url
    assert server.asked[1].news[0].role == "tool"

`turns` has the words of a scenario, one module renders them into each wire format, `server` is the transport. Nothing
here knows an SDK, and only the standard library is used, so that it runs in any venv: `python -m model_server --help`.
"""

from .server import ModelServer, Recorded
from .turns import FOREVER, Asked, Call, Said, Turn, Usage, When, call, calls, cut, empty, fail, hang, say

__all__ = [
    "FOREVER",
    "Asked",
    "Call",
    "ModelServer",
    "Recorded",
    "Said",
    "Turn",
    "Usage",
    "When",
    "call",
    "calls",
    "cut",
    "empty",
    "fail",
    "hang",
    "say",
]
