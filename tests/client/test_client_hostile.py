"""The client against a server that means it ill: each call ends, with an error of the client, in bounded memory."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from client_kit import run_async

from preview.client import (
    AsyncClient,
    Client,
    ClientError,
    Event,
    InvalidAnswer,
    PreviewProblem,
    Unreachable,
    asynchronous,
    blocking,
    calls,
    event_parser,
    log_follower,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
END = b'event: end\ndata: {"id": "p", "status": "stopped", "reason": null, "timestamp": "2026-03-01T12:20:05.123Z", '
END += b'"steps": [], "exit_code": null, "exit_signal": null, "cause": "user"}\n\n'


def line(seq: object, **other: object) -> bytes:
    data = {"seq": 1, "timestamp": "2026-03-01T12:20:05.123Z", "level": "INFO", "source": "system", "message": "m"}
    return f"id: {seq}\ndata: {json.dumps(data | other)}\n\n".encode()


Peer = Callable[[socket.socket], None]


@contextmanager
def serving(*answers: bytes | Peer, heads: list[bytes] | None = None) -> Iterator[str]:
    """Accept connections; each is answered by the next one, the last by all further ones.

    Args:
        answers: The bytes, or a function that sends them.
        heads: Gets what was asked.
    """
    left = list(answers)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    answer = left.pop(0) if len(left) > 1 else left[0]
                    try:
                        head = peer.recv(65536)
                        if heads is not None:
                            heads.append(head)
                        if callable(answer):
                            answer(peer)
                        else:
                            peer.sendall(answer)
                    except OSError:
                        pass

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def endless(start: bytes, piece: bytes) -> Peer:
    def send(peer: socket.socket) -> None:
        peer.sendall(start)
        while True:
            peer.sendall(piece)

    return send


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_ANSWER_BYTES", 1024 * 1024)
    monkeypatch.setattr(log_follower, "RESUME_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(event_parser, "MAX_EVENT_BYTES", 64 * 1024)


STATUS_PATH = "/api/v1/x"


def status_of(url: str) -> object:
    with Client(url, "t", retry_pauses_s=()) as client:
        return client.run(calls.answered(calls.Call("GET", "/x", max_bytes=1024 * 1024), ())).json()


def events_of(url: str, driver: str = "sync") -> list[object]:
    if driver == "sync":
        with Client(url, "t") as client:
            preview = client.preview("gen_x")
            follower = blocking.Log(client, quick_follower(preview))
            return [getattr(event, "seq", event.type) for event in follower]

    async def read() -> list[object]:
        async with AsyncClient(url, "t") as client:
            log = asynchronous.AsyncLog(client, quick_follower(client.preview("gen_x")))
            return [getattr(event, "seq", event.type) async for event in log]

    return run_async(read, driver)


def quick_follower(preview: blocking.Preview | asynchronous.AsyncPreview) -> log_follower.LogFollower[Event]:
    follower = preview.log()._follower
    follower._pauses_s = (0.0, 0.0)
    return follower


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff garbage\r\n\r\n",
        JSON + b"<html>",
        JSON + b"[" * 100_000,
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/steal\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"0" * 10_000_000),
        endless(JSON, b"0" * 65536),
        endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"b" * 8000 + b"\r\n"),
        endless(b"HTTP/1.1 500 Oops\r\n\r\n", b"0" * 65536),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_an_ill_answer_is_an_error_of_the_client(answer: bytes | Peer) -> None:
    with serving(answer) as url, pytest.raises(ClientError):
        status_of(url)


@pytest.mark.parametrize(
    "fields",
    [
        "Location: {other}{path}",
        "Location: {other}/x\r\nPreview-Owner: b",
        "Location: {other}{path}?more=1\r\nPreview-Owner: b",
        "Location: {other_with_user}{path}\r\nPreview-Owner: b",
        "Location: ftp://127.0.0.1{path}\r\nPreview-Owner: b",
        "Location: http://[\r\nPreview-Owner: b",
        "Preview-Owner: b",
    ],
)
def test_the_token_is_never_sent_elsewhere(fields: str) -> None:
    asked = []

    def thief(peer: socket.socket) -> None:
        asked.append(1)

    with serving(thief) as other:
        parts = {"other": other, "other_with_user": other.replace("//", "//u@"), "path": STATUS_PATH}
        redirect = f"HTTP/1.1 307 T\r\n{fields.format(**parts)}\r\nContent-Length: 0\r\n\r\n".encode()
        with serving(redirect) as url, pytest.raises(InvalidAnswer, match="redirect"):
            status_of(url)
    assert asked == []


def test_a_redirect_of_the_service_to_the_owner_is_followed_once() -> None:
    def redirect(other: str) -> bytes:
        location = f"Location: {other}{STATUS_PATH}?preview-hop=1\r\nPreview-Owner: b"
        return f"HTTP/1.1 307 T\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode()

    with serving(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") as last:
        with serving(redirect(last)) as url, pytest.raises(PreviewProblem, match="404"):
            status_of(url)
        with (
            serving(redirect(last)) as middle,
            serving(redirect(middle)) as url,
            pytest.raises(InvalidAnswer, match="redirect"),
        ):
            status_of(url)


def test_behind_a_proxy_that_removes_a_prefix_the_redirect_is_followed() -> None:
    with serving(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") as last:
        location = f"Location: {last}{STATUS_PATH}?preview-hop=1\r\nPreview-Owner: b"
        redirect = f"HTTP/1.1 307 T\r\n{location}\r\nContent-Length: 0\r\n\r\n".encode()
        with serving(redirect) as url, pytest.raises(PreviewProblem, match="404"):
            status_of(f"{url}/some/prefix/")


@pytest.mark.parametrize("location", ["https://127.0.0.1:1/rewritten", "https://127.0.0.1:1{path}?more=1", "http://["])
def test_a_redirect_of_the_service_that_is_not_followed_is_asked_for_no_more(location: str) -> None:
    last = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    fields = f"Location: {location.format(path=STATUS_PATH)}\r\nPreview-Owner: b"
    redirect = f"HTTP/1.1 307 T\r\n{fields}\r\nContent-Length: 0\r\n\r\n".encode()
    heads: list[bytes] = []
    with serving(redirect, last, heads=heads) as url, pytest.raises(PreviewProblem, match="404"):
        status_of(f"{url}/prefix")
    assert heads[-1].startswith(f"GET /prefix{STATUS_PATH}?preview-hop=1 ".encode())


def test_a_dripping_answer_ends_at_its_time() -> None:
    stop = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.sendall(JSON)
        while not stop.wait(0.02):
            peer.sendall(b" ")

    with serving(drip) as url, Client(url, "t") as client:
        with pytest.raises(Unreachable) as caught:
            client.run(calls.answered(calls.Call("GET", "/x", timeout_s=0.2), ()))
        stop.set()
    assert caught.value.is_timeout


@pytest.mark.parametrize("problem", ["[]", '{"code": 7, "detail": []}', '{"code": "x", "details": "y"}', "{", ""])
def test_an_error_of_any_shape_is_a_problem(problem: str) -> None:
    answer = f"HTTP/1.1 418 T\r\nContent-Length: {len(problem)}\r\n\r\n{problem}".encode()
    with serving(answer) as url, pytest.raises(PreviewProblem, match="responded with 418") as caught:
        status_of(url)
    assert (caught.value.status, caught.value.details) == (418, {})


@pytest.mark.parametrize(
    "events",
    [
        b"data: no json\n\n",
        b'id: 1\ndata: ["list"]\n\n',
        b"id: 1\ndata: {}\n\n",
        line("x"),
        line(1, level="LOUD"),
        line(1, message=7),
        b'event: end\ndata: {"status": 3}\n\n',
        b"id: 1\ndata: " + b"[" * 50_000 + b"\n\n",
        b"id: " + b"9" * 5000 + b"\ndata: {}\n\n",
        endless(HEAD, b"data: " + b"x" * 65536),
        endless(HEAD, b"data: x\n"),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\nx",
    ],
)
@pytest.mark.parametrize("driver", ["sync", "asyncio", "trio"])
def test_an_ill_event_ends_the_log_with_an_error(events: bytes | Peer, driver: str) -> None:
    answer = events if callable(events) or events.startswith(b"HTTP") else HEAD + events
    with serving(answer) as url, pytest.raises(InvalidAnswer):
        events_of(url, driver)


@pytest.mark.parametrize("driver", ["sync", "asyncio", "trio"])
def test_each_line_comes_once_over_broken_connections_and_repeated_lines(driver: str) -> None:
    cut = HEAD + line(1) + line(2) + line(3)[:-20]
    unknown = b'event: later\ndata: {"new": 1}\n\n'
    with serving(cut, HEAD + line(2) + line(3) + unknown, HEAD + line(4) + END) as url:
        assert events_of(url, driver) == [1, 2, 3, 4, "end"]


@pytest.mark.parametrize("driver", ["sync", "asyncio", "trio"])
def test_a_stream_that_only_breaks_is_given_up(driver: str) -> None:
    with serving(HEAD) as url, pytest.raises(Unreachable, match="ended before the preview did"):
        events_of(url, driver)


def test_only_what_is_safe_is_sent_again() -> None:
    asked = []

    def count(peer: socket.socket) -> None:
        asked.append(1)

    with serving(count) as url, Client(url, "t", retry_pauses_s=(0.0, 0.0)) as client:
        with pytest.raises(Unreachable):
            client.call(calls.Call("POST", "/x", body={}))
        assert len(asked) == 1
        with pytest.raises(Unreachable):
            client.call(calls.Call("GET", "/x"))
        assert len(asked) == 4


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://[", "localhost:8000"])
def test_an_address_must_be_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClientError):
        Client(url, "t")


def test_a_token_must_be_one() -> None:
    with pytest.raises(ClientError, match="characters"):
        Client("http://127.0.0.1:1", "a\r\nX-Evil: 1")
