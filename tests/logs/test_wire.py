"""A log's events between nodes: what one node sends is what the other reads, and nothing else is read."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.launch_steps import LaunchStep
from preview.logs import Batch, End, Gap, StatusChange
from preview.logs.model.wire import (
    KEEP_ALIVE_FRAME,
    MAX_FRAME_BYTES,
    Begin,
    FrameReader,
    NotALog,
    begin_frame,
    frames,
)

STATUS = StatusChange("preview_b", "running", "healthy", None, 5, (LaunchStep("files"),), 1)
END = End("preview_b", "stopped", "You stopped it.", 0, None, 9)


def framed(kind: bytes, form: object) -> bytes:
    said = form if isinstance(form, bytes) else json.dumps(form).encode()
    return (len(said) + 1).to_bytes(4, "big") + kind + said


GOOD = [5, [1, 2], "\0\1", ["a", "b"], {"1": "req-1"}]


@pytest.mark.parametrize(
    "data",
    [
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        framed(b"?", 1),
        framed(b"L", b"not JSON"),
        framed(b"L", b"[" * 100_000),
        framed(b"L", [0, *GOOD[1:]]),
        framed(b"L", [10**19, *GOOD[1:]]),
        framed(b"L", [5, [1], *GOOD[2:]]),
        framed(b"L", [5, [1, -2], *GOOD[2:]]),
        framed(b"L", [5, [1, 10**15], *GOOD[2:]]),
        framed(b"L", [5, [1, 2], "\0\xff", *GOOD[3:]]),
        framed(b"L", [5, [1, 2], "\0\u2028", *GOOD[3:]]),
        framed(b"L", [5, [], "", [], None]),
        framed(b"L", [*GOOD[:3], ["a", 1], None]),
        framed(b"L", b'[5,[1],"\\u0000",["\\ud800"],null]'),
        framed(b"L", [*GOOD[:4], {"2": "req-1"}]),
        framed(b"L", [*GOOD[:4], {"1": 'x","level":"ERROR'}]),
        framed(b"L", [*GOOD[:4], {"1": "x\n"}]),
        framed(b"G", {"first_seq": 5, "last_seq": 4, "reason": "lost"}),
        framed(b"G", {"first_seq": -5, "last_seq": 4, "reason": "lost"}),
        framed(b"S", {"state": "running"}),
        framed(b"E", []),
        framed(b"B", 1),
        framed(b"B", [0, 1]),
        framed(b"B", [1, -1]),
    ],
)
def test_a_frame_that_is_not_valid_is_refused(data: bytes) -> None:
    with pytest.raises(NotALog):
        FrameReader("preview_a").feed(data)


@given(st.binary(max_size=200), st.sampled_from([b"L", b"S", b"G", b"E", b"B"]))
def test_any_bytes_are_events_or_refused(data: bytes, kind: bytes) -> None:
    for sent in (data, framed(kind, data)):
        with suppress(NotALog):
            FrameReader("preview_a").feed(sent)


def test_events_arrive_as_they_were_sent_in_any_pieces() -> None:
    batch = Batch("preview_b", 5, [1, 2], bytes([0, 1]), ["a\x1b[31m", "b\u2028ü"], {1: "req-1"})
    sent = begin_frame(5, 6) + KEEP_ALIVE_FRAME + b"".join(b"".join(frames(one)) for one in (STATUS, batch, END))
    sent += b"".join(frames(Gap(7, 9, "lost")))
    for size in (1, 7, len(sent)):
        reader = FrameReader("preview_a")
        got = [event for at in range(0, len(sent), size) for event in reader.feed(sent[at : at + size])]
        assert got[0] == Begin(5, 6)
        # The sender does not choose the preview.
        assert [one.preview_id for one in got if isinstance(one, StatusChange | Batch | End)] == ["preview_a"] * 3
        assert isinstance(got[1], StatusChange)
        assert got[1].steps == STATUS.steps
        assert isinstance(got[2], Batch)
        assert [(line.seq, line.message, line.request_id) for line in got[2]] == [
            (5, "a\x1b[31m", None), (6, "b\u2028ü", "req-1"),
        ]  # fmt: skip
        assert got[4] == Gap(7, 9, "lost")


def test_many_and_long_lines_are_sent_in_several_frames() -> None:
    for count, text in ((20_001, ""), (20, "\x1b" * 65_536)):
        batch = Batch("preview_a", 1, [1] * count, bytes(count), [text] * count, {count - 1: "last"})
        parts = list(frames(batch))
        assert len(parts) > 1
        assert max(map(len, parts)) <= MAX_FRAME_BYTES
        reader = FrameReader("preview_a")
        got = [event for part in parts for event in reader.feed(part) if isinstance(event, Batch)]
        assert [one.first_seq for one in got] == [1, *(one.last_seq + 1 for one in got[:-1])]
        assert got[-1].last_seq == count
        assert got[-1].requests == {len(got[-1]) - 1: "last"}
