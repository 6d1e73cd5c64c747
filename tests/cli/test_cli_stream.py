"""The log reader against a server that breaks off, expires and forgets: each line once, whatever happens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.cli.client import open_api
from preview.cli.data_folder import ServiceNote, publish_note
from preview.cli.entry import run
from preview.cli.exits import ApiRefused, NoService
from preview.cli.local import stream
from preview.cli.local.stream import LogReader, shown_line
from preview.logs import PREAMBLE

END = ('event: end\ndata: {"status": "stopped"}\n\n',)


def line(seq: int) -> str:
    data = {"timestamp": "2026-03-01T12:20:05.123Z", "level": "INFO", "message": f"line {seq}", "source": "subprocess"}
    return f"id: {seq}\ndata: {json.dumps(data)}\n\n"


class Script:
    """What the server answers, connection by connection; the last entry is repeated."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    def next(self) -> tuple[int, str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(BaseHTTPRequestHandler):
    script: Script

    def do_GET(self) -> None:
        self.script.asked.append((self.path, self.headers.get("Last-Event-ID", "")))
        status, text = self.script.next()
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if status == 200 else "application/problem+json")
        self.end_headers()
        self.wfile.write((PREAMBLE.decode() + text if status == 200 else text).encode())

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def serving(script: Script) -> Iterator[str]:
    handler = type("ScriptHandler", (Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREVIEW_TOKEN", "t")
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(stream, "_PAUSES_S", (0.0, 0.0, 0.0))


def read(script: Script, *, tail: int | None = None, follow: bool = True) -> list[str]:
    with serving(script) as url, open_api(url) as api:
        return [
            event.id if event.event == "message" else event.event
            for event in LogReader(api, "gen_x", tail=tail, follow=follow)
        ]


def test_a_stream_is_read_to_its_end() -> None:
    assert read(Script((200, line(1) + line(2) + END[0]))) == ["1", "2", "end"]


def test_a_broken_connection_is_resumed_behind_the_last_line() -> None:
    script = Script((200, line(1) + line(2)), (200, line(3) + END[0]))
    assert read(script) == ["1", "2", "3", "end"]
    assert [last_id for _, last_id in script.asked] == ["", "2"]


def test_a_half_written_event_is_not_shown_twice() -> None:
    script = Script((200, line(1) + "id: 2\nda"), (200, line(2) + END[0]))
    assert read(script) == ["1", "2", "end"]


def test_an_expired_token_is_replaced() -> None:
    script = Script((200, line(1) + "event: expired\ndata: {}\n\n"), (200, line(2) + END[0]))
    assert read(script) == ["1", "2", "end"]


def test_no_content_means_that_it_is_over() -> None:
    assert read(Script((200, line(1)), (204, ""))) == ["1"]


def test_the_tail_is_asked_for_once() -> None:
    script = Script((200, line(8)), (200, line(9) + END[0]))
    assert read(script, tail=5) == ["8", "9", "end"]
    assert ["tail=5" in path for path, _ in script.asked] == [True, False]


def test_colours_are_asked_for_on_each_connection() -> None:
    script = Script((200, line(1)), (200, line(2) + END[0]))
    assert read(script, tail=5) == ["1", "2", "end"]
    assert ["ansi=keep" in path for path, _ in script.asked] == [True, True]


def test_without_following_the_end_of_the_stream_is_the_end() -> None:
    script = Script((200, line(1)))
    assert read(script, follow=False) == ["1"]
    assert "follow=false" in script.asked[0][0]


def test_a_refusal_is_the_services_own_sentence() -> None:
    problem = json.dumps({"detail": "No active preview", "code": "no_active_preview", "details": {"a": 1}})
    with pytest.raises(ApiRefused, match="No active preview") as caught:
        read(Script((404, problem)))
    assert (caught.value.status, caught.value.problem, caught.value.facts) == (404, "no_active_preview", {"a": 1})


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"detail": 7}'])
def test_a_refusal_by_something_in_between_is_a_sentence_too(text: str) -> None:
    with pytest.raises(ApiRefused, match="responded with 502"):
        read(Script((502, text)))


def test_a_service_that_stays_away_is_given_up() -> None:
    with pytest.raises(NoService, match="cannot be reached"):
        read(Script((200, "")))


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=3))
def test_wherever_it_breaks_each_line_comes_once_and_in_order(pieces: list[int]) -> None:
    """Each connection carries some lines and breaks; an empty one is a failure, and fewer than four in a row pass."""
    answers, seq = [], 0
    for size in pieces:
        answers.append((200, "".join(line(seq + number + 1) for number in range(size))))
        seq += size
    script = Script(*answers, (200, line(seq + 1) + END[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "_PAUSES_S", (0.0, 0.0, 0.0))
        patch.setenv("PREVIEW_TOKEN", "t")
        assert read(script) == [*(str(number) for number in range(1, seq + 2)), "end"]


def test_a_line_of_the_stream_is_shown_as_it_was_said() -> None:
    with serving(Script((200, line(7) + END[0]))) as url, open_api(url) as api:
        shown = shown_line(next(iter(LogReader(api, "gen_x"))))
    assert (shown.seq, shown.level, shown.system, shown.message) == (7, "INFO", False, "line 7")


def test_logs_say_what_is_gone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gap = 'id: 6\nevent: gap\ndata: {"first": 2, "last": 6, "reason": "retention"}\n\n'
    with serving(Script((200, line(1) + gap + line(7) + END[0]))) as url:
        monkeypatch.setenv("PREVIEW_URL", url)
        assert run(["logs", "gen_x"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [one[-6:] for one in (lines[0], lines[2])] == ["line 1", "line 7"]
    assert lines[1] == "… lines 2 to 6 are missing (retention) …"


def test_an_address_must_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", "--url", "localhost:8000"]) == 1
    assert "write http://HOST:PORT" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", "--url", "http://127.0.0.1:9"]) == 3
    assert "cannot be reached" in capsys.readouterr().err


def test_a_service_that_checks_public_keys_needs_a_token_from_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREVIEW_TOKEN")
    monkeypatch.delenv("PREVIEW_URL", raising=False)
    monkeypatch.setenv("PREVIEW_JWT_ALGORITHM", "ES256")
    monkeypatch.setenv("PREVIEW_JWKS_FILE", str(tmp_path / "jwks.json"))
    with publish_note(tmp_path, ServiceNote.of_this_process("http://127.0.0.1:9")):
        assert run(["ls"]) == 1
    assert "identity provider" in capsys.readouterr().err


def test_a_filter_is_asked_for_on_every_connection() -> None:
    script = Script((200, line(1)), (200, line(2) + END[0]))
    with serving(script) as url, open_api(url) as api:
        events = list(LogReader(api, "gen_a", chosen={"level": "ERROR", "q": "bad"}))
    assert [event.id for event in events][:2] == ["1", "2"]
    assert len(script.asked) == 2
    assert all("level=ERROR" in path and "q=bad" in path for path, _ in script.asked)
