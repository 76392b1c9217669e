"""The transport: which wire format a path means, whose turn it is, and how an answer is sent, cut or held back."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from . import anthropic_messages, openai_chat, openai_responses
from .turns import Turn, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from email.message import Message

    from .turns import Asked

_WIRES: dict[str, Any] = {
    r"(/anthropic)?/v1/messages": anthropic_messages,
    r"/v1/chat/completions": openai_chat,
    r"/v1/responses": openai_responses,
    r"/openai/v1/chat/completions": openai_chat,
    r"/openai/v1/responses": openai_responses,
    r"/openai/deployments/(?P<deployment>[^/]+)/chat/completions": openai_chat,
    r"/openai/(deployments/[^/]+/)?responses": openai_responses,
    r"(/models)?/chat/completions": openai_chat,
}
_NEEDS_API_VERSION = re.compile(r"/openai/(?!v1/)|/(models/)?chat/completions$")


@dataclass(frozen=True)
class Recorded:
    """One request as it came: header names in lower case, `body` parsed, `at` in seconds of the monotonic clock."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float
    asked: Asked | None = None

    @property
    def key(self) -> str:
        """The credential that came with it, or nothing."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.headers.get("x-api-key") or self.headers.get("api-key") or bearer


class ModelServer:
    """
    Serves `turns` from the moment it is made until `close`, on a port of its own.

    With `key`, a request without it gets 401 and uses no turn. A request that no turn fits gets 400 and is kept in
    `unscripted`: a scenario too short is a wrong test. `on_request` is called for each, before its answer is sent.
    """

    def __init__(
        self, *turns: Turn, key: str | None = None, port: int = 0, on_request: Callable[[Recorded], None] | None = None
    ) -> None:
        self.turns = turns
        self.key = key
        self.requests: list[Recorded] = []
        self.unscripted: list[Recorded] = []
        self._on_request = on_request
        self._used = [0] * len(turns)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._http = _Http(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The root: the base URL of an Anthropic SDK, and the endpoint of an Azure one."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def openai_url(self) -> str:
        """The base URL of an OpenAI SDK."""
        return f"{self.url}/v1"

    @property
    def asked(self) -> list[Asked]:
        """Each request that a model was to answer, in the common form."""
        return [r.asked for r in self.requests if r.asked is not None]

    @property
    def left(self) -> list[Turn]:
        """The turns that were not used at all."""
        return [turn for turn, used in zip(self.turns, self._used, strict=True) if not used]

    def close(self) -> None:
        """End it, and with it every answer that hangs."""
        self._closed.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what a handler asks ----

    def record(self, request: Recorded) -> int:
        """Keep `request`; give its serial number, from 1."""
        with self._lock:
            self.requests.append(request)
            if self._on_request:
                self._on_request(request)
            return len(self.requests)

    def turn_for(self, request: Recorded) -> Turn:
        """Use up the turn that is due, or say that there is none."""
        if self.key is not None and request.key != self.key:
            return fail(401, "the key is wrong")
        assert request.asked is not None
        with self._lock:
            for index, turn in enumerate(self.turns):
                if self._used[index] < turn.times and turn.when(request.asked):
                    self._used[index] += 1
                    return turn
            self.unscripted.append(request)
        return fail(400, "the scenario has no turn for this request")

    def wait(self, seconds: float | None = None) -> bool:
        """Wait; tell whether the server was closed meanwhile."""
        return self._closed.wait(seconds)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], model: ModelServer) -> None:
        self.model = model
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one piece
    server: _Http
    headers: Message

    def do_GET(self) -> None:
        request = self._receive()
        self.server.model.record(request)
        if request.path in ("/v1/models", "/models"):
            self._send_json(200, {"object": "list", "data": [{"id": "scripted-model", "object": "model"}]})
        else:
            self._send_json(404, {"error": {"message": f"no such path: {request.path}"}})

    do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    def do_POST(self) -> None:
        request = self._receive()
        if re.fullmatch(r"(/anthropic)?/v1/messages/count_tokens", request.path):
            self.server.model.record(request)
            self._send_json(200, {"input_tokens": len(json.dumps(request.body)) // 4})
            return
        wire, asked = self._understand(request)
        if wire is None or asked is None:
            self.server.model.record(request)
            self._send_json(404, {"error": {"code": "404", "message": "Resource not found"}})
            return
        request = replace(request, asked=asked)
        serial = self.server.model.record(request)
        turn = self.server.model.turn_for(request)
        if turn.delay_seconds and self.server.model.wait(turn.delay_seconds):
            self._break()
            return
        if turn.http != 200:
            after = {} if turn.retry_after is None else {"retry-after": f"{turn.retry_after:g}"}
            self._send_json(turn.http, wire.error(turn), after)
        elif turn.page is not None:
            self._send(200, turn.page.encode(), {"content-type": turn.page_type})
        elif turn.cut == "start":
            self._break()
        elif asked.stream:
            self._stream(turn, wire.events(turn, asked, serial))
        elif turn.hang:
            self._hold()
        else:
            self._send_json(200, wire.whole(turn, asked, serial), cut=bool(turn.cut))

    # ---- requests ----

    def _receive(self) -> Recorded:
        """Read the request; what is not JSON stays text."""
        raw = self._body()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw.decode(errors="replace")
        parts = urlsplit(self.path)
        return Recorded(
            method=self.command,
            path=parts.path,
            query={name: values[-1] for name, values in parse_qs(parts.query).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            at=time.monotonic(),
        )

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    @staticmethod
    def _understand(request: Recorded) -> tuple[Any, Asked | None]:
        """Give the wire format of the path, and the request read by it; as Azure does, miss one without api-version."""
        if _NEEDS_API_VERSION.match(request.path) and "api-version" not in request.query:
            return None, None
        for pattern, wire in _WIRES.items():
            if found := re.fullmatch(pattern, request.path):
                named = found.groupdict().get("deployment")
                return wire, wire.read({**request.body, "model": named} if named else request.body)
        return None, None

    # ---- answers ----

    def _send_json(self, status: int, body: Any, more: dict[str, str] | None = None, *, cut: bool = False) -> None:
        self._send(status, json.dumps(body).encode(), {"content-type": "application/json", **(more or {})}, cut=cut)

    def _send(self, status: int, text: bytes, head: dict[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {**head, "content-length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text[: len(text) // 2] if cut else text)
        self.wfile.flush()
        if cut:
            self._break()

    def _stream(self, turn: Turn, events: Iterable[bytes]) -> None:
        whole = list(events)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in whole[: len(whole) // 2] if turn.cut or turn.hang else whole:
            self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            self.wfile.flush()
        if turn.cut:
            self._break()
        elif turn.hang:
            self._hold()
        else:
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def _hold(self) -> None:
        self.server.model.wait()
        self._break()

    def _break(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have left first
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - its name in the base class
        """Write no access log: `requests` holds more."""
