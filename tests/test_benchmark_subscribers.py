"""The client of the stream benchmark notices what it says did not happen."""

from __future__ import annotations

import socket
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from _printer import document, line
from _subscribers import Reader

FIRST = 1000
EACH_KIND = pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "counted"])


def frames(*numbers: int) -> bytes:
    return b"".join(f"id: {number}\ndata: {document(line(number))}\n\n".encode() for number in numbers)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def fed(reader: Reader, sent: bytes, *, piece: int) -> array[int]:
    """Give it the bytes in pieces of one size; the delays that it took down."""
    delays: array[int] = array("q")
    reader.begin(FIRST)
    for start in range(0, len(sent), piece):
        chunk = sent[start : start + piece]
        if reader.is_watched:
            reader.look_at(chunk, time.monotonic_ns(), delays)
        else:
            reader.count_in(chunk)
    return delays


@EACH_KIND
@pytest.mark.parametrize("piece", [1, 7, 30, 31, 64, 150, 4096])
def test_lines_are_counted_however_they_are_cut(sock: socket.socket, is_watched: bool, piece: int) -> None:
    reader = Reader(sock, is_watched=is_watched)
    delays = fed(reader, frames(*range(FIRST, FIRST + 40)), piece=piece)
    assert (reader.count, reader.last, reader.faulty) == (40, FIRST + 39, False)
    assert len(delays) == (40 if is_watched else 0)
    assert all(0 <= delay < 60e9 for delay in delays)


@EACH_KIND
@pytest.mark.parametrize(
    "numbers",
    [(1000, 1001, 1003), (1000, 1001, 1001, 1002), (1001, 1002), (1000, 1002, 1001, 1003, 1005)],
    ids=["lost", "doubled", "begun late", "out of order and lost"],
)
def test_a_line_lost_or_doubled_is_a_fault(sock: socket.socket, is_watched: bool, numbers: tuple[int, ...]) -> None:
    reader = Reader(sock, is_watched=is_watched)
    fed(reader, frames(*numbers), piece=4096)
    assert reader.faulty
