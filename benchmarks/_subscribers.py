"""Subscribers of one event stream, as cheap as a client can be, in a process of their own.

Some of them (``watched``) are read the moment that something is there, and every line is looked at: these measure
delays. Of the others only the marks are counted, and the last number compared with the count, so that a lost or
doubled line is noticed all the same; each of them is read every 50 ms, which costs nothing beside the servers. Where
throughput is asked for (``eager``) all are read at once.
"""

from __future__ import annotations

import gc
import re
import select
import signal
import socket
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection

from _printer import MARK

__all__ = ["Plan", "Reader", "Received", "Subscribers", "Task", "open_subscribers"]

_MARK = re.compile(MARK)
_MARK_BYTES = 31
_READ = 256 * 1024
# Each of those that are not watched is read once in this time, a few at a turn.
_SWEEP_S = 0.05
_SWEPT_AT_ONCE = 16
# Connections being made at a time, where the time of each is not what is measured.
_AT_ONCE = 64
_CONNECT_S = 180.0


@dataclass(frozen=True)
class Plan:
    """Who subscribes, and how.

    Attributes:
        port: On loopback.
        request: The bytes that ask for the stream.
        count: Subscribers.
        watched: How many of them are read at once and line by line; they are spread evenly over the rest.
        one_by_one: Connect one after the other, so that the time of each can be told.
    """

    port: int
    request: bytes
    count: int
    watched: int
    one_by_one: bool = False


@dataclass(frozen=True)
class Task:
    """What is to be read.

    Attributes:
        first: Number of the first line.
        lines: How many each subscriber gets.
        eager: All are read the moment that something is there.
        limit_s: Seconds; what has not come by then is lost.
    """

    first: int
    lines: int
    eager: bool = False
    limit_s: float = 60.0


@dataclass(frozen=True)
class Received:
    """What came.

    Attributes:
        delivered: Lines, over all subscribers.
        faulty: Subscribers with a line lost, doubled or out of order.
        delays_ns: From the line's printing to its reading, of the watched ones.
        last_ns: When the last subscriber had its last line (CLOCK_MONOTONIC).
        busy: The client's own share of a core meanwhile.
    """

    delivered: int
    faulty: int
    delays_ns: array[int]
    last_ns: int
    busy: float


class Reader:
    """One subscriber."""

    __slots__ = ("count", "faulty", "is_watched", "last", "rest", "sock")

    def __init__(self, sock: socket.socket, is_watched: bool) -> None:
        self.sock, self.is_watched = sock, is_watched
        self.rest = b""
        self.count, self.last, self.faulty = 0, -1, False

    def begin(self, first: int) -> None:
        self.count, self.last, self.faulty = 0, first - 1, False

    def count_in(self, chunk: bytes) -> None:
        """Lines by their marks; the last one's number says whether all before it are there."""
        found = chunk.count(b"~")
        self.count += found
        self.last += found
        at = chunk.rfind(b"~")
        if at >= 9 and int(chunk[at - 9 : at]) != self.last:
            self.faulty = True

    def look_at(self, chunk: bytes, now: int, delays: array[int]) -> None:
        """Each line."""
        data, end = self.rest + chunk, 0
        for match in _MARK.finditer(data):
            delays.append(now - int(match[1]))
            self.count += 1
            self.last += 1
            if int(match[2]) != self.last:
                self.faulty, self.last = True, int(match[2])
            end = match.end()
        self.rest = data[max(end, len(data) - _MARK_BYTES) :]


class _Crowd:
    """All subscribers of the process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.readers: list[Reader] = []
        self.connect_ns: list[int] = []
        self.poll = select.epoll()
        self.by_number: dict[int, Reader] = {}

    def connect(self) -> None:
        """Until each has the head of its answer."""
        until = time.monotonic() + _CONNECT_S
        at_once = 1 if self.plan.one_by_one else _AT_ONCE
        every = max(1, self.plan.count // max(1, self.plan.watched))
        missing: dict[int, tuple[Reader, int]] = {}
        poll = select.epoll()
        while len(self.readers) < self.plan.count:
            while len(missing) < at_once and len(self.readers) + len(missing) < self.plan.count:
                begun = time.monotonic_ns()
                sock = socket.create_connection(("127.0.0.1", self.plan.port))
                sock.sendall(self.plan.request)
                sock.setblocking(False)
                number = len(self.readers) + len(missing)
                missing[sock.fileno()] = (Reader(sock, is_watched=number % every == 0), begun)
                poll.register(sock, select.EPOLLIN)
            for number, _ in poll.poll(max(0.0, until - time.monotonic())):
                reader, begun = missing[number]
                if self.greeted(reader):
                    self.connect_ns.append(time.monotonic_ns() - begun)
                    poll.unregister(number)
                    self.readers.append(missing.pop(number)[0])
            if time.monotonic() > until:
                raise TimeoutError(f"{len(self.readers)} of {self.plan.count} streams were open after {_CONNECT_S} s")
        poll.close()
        self.by_number = {reader.sock.fileno(): reader for reader in self.readers}

    def greeted(self, reader: Reader) -> bool:
        """Whether the answer's head is there; what follows it is not a line yet."""
        reader.rest += reader.sock.recv(4096)
        head, is_whole, _ = reader.rest.partition(b"\r\n\r\n")
        if not reader.rest or (is_whole and b" 200 " not in head.partition(b"\r\n")[0]):
            raise ConnectionError(f"the stream was refused: {reader.rest.decode(errors='replace') or 'closed'}")
        if is_whole:
            reader.rest = b""
        return bool(is_whole)


class _Reading:
    """One time of reading: from a number on, until each subscriber has so many lines, or the time is over."""

    def __init__(self, crowd: _Crowd, task: Task) -> None:
        self.crowd, self.task = crowd, task
        self.delays_ns: array[int] = array("q")
        self.last_ns = 0
        for reader in crowd.readers:
            reader.begin(task.first)
        self.unfinished = set(crowd.readers)
        self.prompt = [reader for reader in crowd.readers if task.eager or reader.is_watched]
        self.swept = [reader for reader in crowd.readers if not (task.eager or reader.is_watched)]

    def run(self) -> Received:
        cpu, begun = time.process_time(), time.monotonic()
        poll, until = self.crowd.poll, begun + self.task.limit_s
        for reader in self.prompt:
            poll.register(reader.sock, select.EPOLLIN)
        turn_s, turns, due = _SWEEP_S * _SWEPT_AT_ONCE / max(1, len(self.swept)), cycle(self.swept), begun
        while self.unfinished and (at := time.monotonic()) < until:
            if self.swept and at >= due:
                for reader in islice(turns, min(_SWEPT_AT_ONCE, len(self.swept))):
                    self.take(reader)
                due = max(due + turn_s, at)
            for number, _ in poll.poll(max(0.0, (due if self.swept else until) - time.monotonic())):
                self.take(self.crowd.by_number[number])
        for reader in self.prompt:
            # Those that are gone are not registered any more.
            with suppress(OSError):
                poll.unregister(reader.sock)
        return Received(
            sum(reader.count for reader in self.crowd.readers),
            sum(reader.faulty or reader.count != self.task.lines for reader in self.crowd.readers),
            self.delays_ns,
            self.last_ns,
            (time.process_time() - cpu) / (time.monotonic() - begun),
        )

    def take(self, reader: Reader) -> None:
        """Read what one subscriber has."""
        try:
            chunk = reader.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        now = time.monotonic_ns()
        if not chunk:
            # Gone: what it lacks is lost.
            reader.faulty = True
            with suppress(OSError):
                self.crowd.poll.unregister(reader.sock)
        elif reader.is_watched:
            reader.look_at(chunk, now, self.delays_ns)
        else:
            reader.count_in(chunk)
        if (not chunk or reader.count >= self.task.lines) and reader in self.unfinished:
            self.unfinished.remove(reader)
            self.last_ns = now


def _work(plan: Plan, pipe: Connection) -> None:
    """The process: connects, then reads whenever it is told to, until the pipe closes."""
    # Ctrl-C is the parent's to hear, and SIGTERM too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    crowd, begun = _Crowd(plan), time.monotonic()
    try:
        crowd.connect()
    except OSError as error:
        pipe.send(str(error))
        return
    pipe.send((crowd.connect_ns, time.monotonic() - begun))
    gc.disable()
    with suppress(EOFError):
        while True:
            reading = _Reading(crowd, pipe.recv())
            pipe.send(None)
            pipe.send(reading.run())


class Subscribers:
    """The parent's side.

    Attributes:
        connect_ms: Of each subscriber, from connecting to the head of the answer.
        connected_s: Until all had it.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        answer = pipe.recv()
        if isinstance(answer, str):
            raise ConnectionError(answer)
        self.connect_ms: list[float] = [one / 1e6 for one in answer[0]]
        self.connected_s: float = answer[1]

    def begin(self, task: Task) -> None:
        """They read from now on."""
        self._pipe.send(task)
        self._pipe.recv()

    def end(self) -> Received:
        """Wait until they have everything, or their time is over."""
        received = self._pipe.recv()
        assert isinstance(received, Received)
        return received


@contextmanager
def open_subscribers(plan: Plan) -> Iterator[Subscribers]:
    """Connected; the process, and with it every connection, is gone afterwards."""
    # A copy of this process, which has one thread: nothing is to be imported anew.
    context = get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(plan, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Subscribers(ours)
    finally:
        process.kill()
        process.join()
        ours.close()
