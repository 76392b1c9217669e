"""The scripted model itself, without any SDK: what it sends, what it keeps, how it breaks off."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent_haymaker.testing import eventually
from model_server import FOREVER, Call, ModelServer, Usage, When, call, calls, cut, empty, fail, hang, say
from model_server.fixtures import serve  # noqa: F401 - a fixture
from model_server.turns import turn_from_json

HI = [{"role": "user", "content": "hi"}]
USAGE = {"stream_options": {"include_usage": True}}
BODIES = {
    "/v1/messages": {"model": "m", "max_tokens": 9, "messages": HI},
    "/v1/chat/completions": {"model": "m", "messages": HI, **USAGE},
    "/v1/responses": {"model": "m", "input": "hi"},
    "/openai/deployments/m/chat/completions?api-version=1": {"messages": HI, **USAGE},
    "/models/chat/completions?api-version=1": {"model": "m", "messages": HI, **USAGE},
}


def post(server: ModelServer, path: str, body: object, **headers: str) -> tuple[http.client.HTTPResponse, str]:
    """Send one request on a connection of its own; give the answer and its text."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_every_wire_format_says_calls_and_counts(serve, path, stream):  # noqa: F811
    server = serve(calls(Call("bash", {"command": "ls /etc"}), say="I look.", usage=Usage(1234, 567, cached=34)))
    answer, text = post(server, path, {**BODIES[path], "stream": stream})
    assert answer.status == 200
    for part in ("bash", "567"):
        assert part in text
    if stream:
        assert answer.headers["content-type"] == "text/event-stream"
        assert all(json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {"))
    else:
        assert "I look." in json.dumps(json.loads(text))
    (asked,) = server.asked
    assert (asked.model, asked.text, asked.stream) == ("m", "hi", stream)


@pytest.mark.parametrize("path", BODIES)
def test_an_error_has_the_form_of_its_api_and_says_when_to_come_back(serve, path):  # noqa: F811
    server = serve(fail(429, "slow down", retry_after=0.5))
    answer, text = post(server, path, BODIES[path])
    assert (answer.status, answer.headers["retry-after"]) == (429, "0.5")
    assert json.loads(text)["error"]["message"] == "slow down"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("at", ["start", "middle"])
def test_a_cut_answer_breaks_its_connection(serve, at, stream):  # noqa: F811
    server = serve(cut("never whole", at))
    with pytest.raises((http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionResetError)):
        post(server, "/v1/messages", {**BODIES["/v1/messages"], "stream": stream})


def test_an_answer_that_hangs_ends_with_the_server():
    server = ModelServer(hang())
    errors: list[Exception] = []

    def ask() -> None:
        try:
            post(server, "/v1/messages", BODIES["/v1/messages"])
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)

    client = threading.Thread(target=ask)
    client.start()
    eventually(lambda: server.asked)
    assert client.is_alive()
    server.close()
    client.join(60)
    assert errors


def test_the_content_of_a_request_chooses_the_turn(serve):  # noqa: F811
    server = serve(
        say("title", when=When(tools=False), times=FOREVER),
        call("bash", {"when": When(news="check failed")}, command="fix"),
        say("done", when=When(after_tool=True, lacks="check failed")),
        call("bash", command="try"),
    )
    tools = [{"name": "bash", "input_schema": {"type": "object"}}]
    result = [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "ok"}]}]
    used = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "bash", "input": {}}]}

    def answer(news: object, **more: object) -> str:
        return post(server, "/v1/messages", {"model": "m", "messages": [*HI, used, news], **more})[1]

    assert "title" in answer({"role": "user", "content": "hi"})
    assert "title" in answer({"role": "user", "content": "again"})
    assert "try" in answer({"role": "user", "content": "hi"}, tools=tools)
    assert "fix" in answer({"role": "user", "content": "a check failed: x"}, tools=tools)
    assert "done" in answer({"role": "user", "content": result}, tools=tools)
    assert server.left == []
    assert [said.role for said in server.asked[-1].messages] == ["user", "assistant", "tool"]


def test_a_wrong_key_a_wrong_path_and_a_missing_version_use_no_turn(serve):  # noqa: F811
    server = serve(say("hi"), key="right")
    body = BODIES["/v1/chat/completions"]
    assert post(server, "/v1/chat/completions", body, authorization="Bearer wrong")[0].status == 401
    assert post(server, "/v2/chat/completions", body, authorization="Bearer right")[0].status == 404
    assert post(server, "/openai/deployments/m/chat/completions", body, **{"api-key": "right"})[0].status == 404
    assert post(server, "/v1/chat/completions", body, authorization="Bearer right")[0].status == 200
    assert [request.key for request in server.requests] == ["wrong", "right", "right", "right"]


def test_a_request_beyond_the_scenario_is_refused_and_kept():
    with ModelServer(empty()) as server:
        assert json.loads(post(server, "/v1/messages", BODIES["/v1/messages"])[1])["content"] == []
        assert post(server, "/v1/messages", BODIES["/v1/messages"])[0].status == 400
        assert len(server.unscripted) == 1


def test_it_runs_as_a_process_of_its_own(tmp_path):
    scenario = {"turns": [{"calls": [{"tool": "bash"}], "usage": {"input": 7}, "times": "forever"}]}
    (tmp_path / "scenario.json").write_text(json.dumps(scenario), encoding="utf-8")
    command = [sys.executable, "-m", "model_server", "--scenario", tmp_path / "scenario.json"]
    with subprocess.Popen(
        [*command, "--requests", tmp_path / "requests.jsonl"],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        connection = http.client.HTTPConnection(urlsplit(process.stdout.readline().strip()).netloc, timeout=60)
        connection.request("POST", "/v1/responses", json.dumps(BODIES["/v1/responses"]))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert answer["output"][0]["name"] == "bash"
    assert answer["usage"]["input_tokens"] == 7
    (line,) = (tmp_path / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["path"] == "/v1/responses"


def test_a_scenario_with_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match=r"Turn has no sya; it has say, calls"):
        turn_from_json({"sya": "hi"})
