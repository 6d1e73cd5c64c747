"""The crowd of the cluster's campaign itself: what it offers, and that it sees what must not be."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from cluster_asker import Asker
from cluster_crowd import Orders, Seen, Starts, open_crowd
from cluster_wire import Chunks, Message


def test_a_response_is_complete_with_its_last_byte_however_it_is_cut() -> None:
    with_length = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    in_chunks = (
        b"HTTP/1.1 503 x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    )
    for whole, status, keeps in ((with_length, 200, True), (in_chunks, 503, False)):
        message = Message()
        assert [message.take(whole[at : at + 1]) for at in range(len(whole))] == [False] * (len(whole) - 1) + [True]
        assert (message.status, message.body, message.keeps) == (status, b"hello", keeps)
    assert Message().take(b"HTTP/1.1 204 No Content\r\n\r\n")
    with pytest.raises(ValueError, match="200"):
        Message().take(b"HTTP/1.1 200 OK\r\n\r\n")


def test_chunks_come_one_by_one() -> None:
    chunks = Chunks()
    assert chunks.take(b"2\r\nhe\r\n3\r\nl") == [b"he"]
    assert not chunks.is_over
    assert chunks.take(b"lo\r\n0\r\n\r\n") == [b"llo"]
    assert chunks.is_over


def test_an_older_start_that_answers_a_later_request_is_noticed() -> None:
    starts = Starts()
    assert starts.overtaken_s("one", 0, 1) is None
    assert starts.overtaken_s("two", 1, 2) is None
    # Asked before the successor's first answer: it may be older.
    assert starts.overtaken_s("one", 1.5, 3) is None
    assert starts.overtaken_s("one", 2.5, 3) == 0.5


class _Node(socketserver.BaseRequestHandler):
    """Answers requests with the name of a start, and streams with lines; ends a stream after three."""

    numbers = (1, 2, 3)
    served: threading.Semaphore
    asked_twice: threading.Event

    def handle(self) -> None:
        with suppress(OSError):
            self._serve()

    def _serve(self) -> None:
        data, answers = b"", 0
        while True:
            piece = self.request.recv(65536)
            if not piece:
                return
            data += piece
            while b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                data = data.removeprefix(b"{}")
                if b"/logs/stream" in head:
                    self._stream(head)
                    return
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstart")
                answers += 1
                if answers > 1:
                    # The first answer was read.
                    self.asked_twice.set()

    def _stream(self, head: bytes) -> None:
        self.request.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        last = int(head.partition(b"Last-Event-ID: ")[2].partition(b"\r\n")[0] or 0)
        for number in self.numbers:
            frame = f"id: {last + number}\ndata: {json.dumps({'message': f'line {last + number}'})}\n\n".encode()
            self.request.sendall(b"%x\r\n%s\r\n" % (len(frame), frame))
        # A reader that goes has read all. One that saw a line twice leaves the rest unread: a reset.
        with suppress(ConnectionError):
            self.request.sendall(b"0\r\n\r\n")
            assert not self.request.recv(1)
        self.served.release()


class _Repeating(_Node):
    numbers = (1, 2, 2)


@contextmanager
def _node(handler: type[_Node]) -> Iterator[str]:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, request_queue_size = True, 128

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _see(handler: type[_Node]) -> Seen:
    handler.served, handler.asked_twice = threading.Semaphore(0), threading.Event()
    with _node(handler) as url:
        orders = Orders([url], [("preview_1", "gen_1", "token")], 3, 200, come_within_s=0.0)
        with open_crowd(orders) as found:
            for _ in range(3):
                assert handler.served.acquire(timeout=90)
            assert handler.asked_twice.wait(timeout=90)
        return found[0]


async def test_a_task_asks_over_a_kept_connection() -> None:
    asker = Asker()
    _Node.asked_twice = threading.Event()
    with _node(_Node) as url:
        for _ in range(3):
            assert (await asker.ask(url, "POST", "/", 90, {}, Prefer="wait=0")).text == "start"
        assert _Node.asked_twice.is_set()
        asker.close()
    assert (await asker.ask(url, "GET", "/", 90)).status == 0


@pytest.mark.long
def test_a_crowd_asks_at_its_rate_and_reads_each_line_once() -> None:
    seen = _see(_Node)
    assert seen.breaches == []
    assert seen.counts["requests offered"] <= 200 * seen.seconds
    # A request may be under way at the end.
    assert 0 < seen.counts["answered 200"] <= seen.counts["requests sent"] <= seen.counts["requests offered"]
    assert seen.counts["lines read"] >= 9
    lines = seen.lines["preview_1"]
    assert lines == {str(number): f"line {number}" for number in range(1, len(lines) + 1)}


def test_a_crowd_tells_of_a_line_that_came_twice() -> None:
    breaches = _see(_Repeating).breaches
    assert "crowd: preview_1: line 2 came twice, behind line 2" in breaches
    assert len(breaches) <= 3, "each reader stops there"
