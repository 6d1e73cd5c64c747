from __future__ import annotations

import json

import pytest
from event_shapes import EVENTS
from hypothesis import given
from hypothesis import strategies as st

from preview.core.clock import rfc3339_ms
from preview.core.launch_steps import FirstAnswer, LaunchStep, StepState
from preview.core.lifecycle import StopCause
from preview.http.contracts.shared import LaunchStepShape, PlanLaunchStep
from preview.logs import (
    KEEP_ALIVE,
    PREAMBLE,
    Batch,
    Contract,
    Encoding,
    End,
    Format,
    Gap,
    Source,
    StatusChange,
    encode,
    expired,
    progress,
)
from preview.logs.model.batch import batches_of
from preview.logs.model.encode import Received
from preview.logs.model.events import MARKS, STARTUP_PHASE, STDERR, STORED_SOURCES, Level, mark_of, system_mark

MESSAGES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"))
LINES = st.lists(st.tuples(st.integers(0, 4_000_000_000_000), st.sampled_from(range(len(MARKS))), MESSAGES), min_size=1)

V1, PLAN = Encoding(Contract.V1), Encoding(Contract.PLAN)


def parse(stream: bytes) -> list[dict[str, str]]:
    """The parsing steps of the SSE specification, on whole lines."""
    events: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if fields:
                events.append(fields)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            assert name not in fields
            fields[name] = value.removeprefix(" ")
    assert not fields
    return events


def batch_of(*messages: str, first: int = 1, stamp: int = 1_760_962_805_123, mark: int = 1) -> Batch:
    return Batch("preview_a", first, [stamp] * len(messages), bytes([mark]) * len(messages), messages)


@pytest.mark.long
@given(LINES, st.integers(1, 10**12), st.sampled_from(Contract))
def test_any_line_survives_its_way_through_a_stream(
    lines: list[tuple[int, int, str]], first: int, contract: Contract
) -> None:
    stamps, marks, messages = zip(*lines, strict=True)
    batch = Batch("preview_a", first, stamps, bytes(marks), messages)
    events = parse(encode([batch], Encoding(contract, colours=True)))
    assert [int(event["id"]) for event in events] == list(range(first, first + len(lines)))
    for event, (stamp, mark, message) in zip(events, lines, strict=True):
        level, source = MARKS[mark]
        assert set(event) == {"id", "data"}
        assert json.loads(event["data"]) == {
            "timestamp": rfc3339_ms(stamp),
            "level": level.word(contract),
            "message": message,
            "source": source.word(contract),
            **({"stream": "stderr"} if mark >= STDERR else {}),
        }


def test_a_line_looks_as_the_contract_says() -> None:
    assert (
        encode([batch_of("hé", first=17)], Encoding(Contract.PLAN))
        == (
            "id: 17\n"
            'data: {"timestamp": "2025-10-20T12:20:05.123Z", "level": "INFO", "message": "hé", "source": "preview"}\n\n'
        ).encode()
    )


def test_a_batch_is_encoded_once_however_many_watch() -> None:
    batch = batch_of("a", "b")
    assert batch.encoded(V1) is batch.encoded(V1)
    assert b'"subprocess"' in batch.encoded(V1)
    assert b'"preview"' in batch.encoded(PLAN)


def test_separators_of_lines_that_are_no_line_ends_stay_inside_their_event() -> None:
    frames = encode([batch_of("a\u2028b\u2029c\x85d")], Encoding(Contract.V1, colours=True))
    assert "\u2028" not in frames.decode()
    assert json.loads(parse(frames)[0]["data"])["message"] == "a\u2028b\u2029c\x85d"


def test_a_change_of_state_has_each_contracts_words() -> None:
    change = StatusChange("preview_a", "starting", "unknown", None, 0)
    assert parse(encode([change], Encoding(Contract.PLAN))) == [
        {
            "event": "status",
            "data": '{"previewInstanceId": "preview_a", "status": "launching", "healthStatus": "unknown", '
            '"reason": null, "timestamp": "1970-01-01T00:00:00.000Z", "steps": [], "restarts": 0, "crashes": 0}',
        }
    ]
    data = json.loads(parse(encode([change], Encoding(Contract.V1)))[0]["data"])
    assert data["status"] == "starting"
    assert data["health"] == "unknown"
    assert data["id"] == "preview_a"


def test_the_steps_of_a_launch_have_each_contracts_keys() -> None:
    steps = (
        LaunchStep("files", StepState.DONE, 1000, 7, None),
        LaunchStep("answers", StepState.RUNNING, 2000, answer=FirstAnswer("/", 200)),
    )
    change = StatusChange("preview_a", "starting", "unknown", None, 0, steps, 1)
    in_plan = json.loads(parse(encode([change], Encoding(Contract.PLAN)))[0]["data"])["steps"]
    in_v1 = json.loads(parse(encode([change], Encoding(Contract.V1)))[0]["data"])["steps"]
    for shown in in_plan:
        PlanLaunchStep.model_validate(shown)
    for shown in in_v1:
        LaunchStepShape.model_validate(shown)
    assert in_plan[0] | {"startedAt": None} == {
        "name": "files", "state": "done", "startedAt": None, "elapsedMs": 7, "detail": None, "reused": False,
    }  # fmt: skip
    assert in_v1[1] == {
        "name": "answers", "state": "running", "started_at": "1970-01-01T00:00:02.000Z", "elapsed_ms": None,
        "detail": None, "reused": False, "answer": {"path": "/", "status": 200},
    }  # fmt: skip


@pytest.mark.parametrize("contract", Contract)
def test_each_event_is_as_it_is_described(contract: Contract) -> None:
    steps = (LaunchStep("answers", StepState.RUNNING, 2000, answer=FirstAnswer("/", 200)), LaunchStep("files"))
    lines = batch_of(*[f"line {mark}" for mark in range(len(MARKS))])
    batch = Batch("preview_a", 1, lines.timestamps, bytes(range(len(MARKS))), lines.messages, {2: "r1"})
    events: list[Received] = [
        batch,
        StatusChange("preview_a", "starting", "unknown", None, 0, steps, 1),
        Gap(3, 9, "retention"),
        End("preview_a", "stopped", "stopped on request", None, 15, 0, StopCause.USER, steps),
        End("preview_a", "failed", "It crashed.", 3, None, 0),
    ]
    written = encode(events, Encoding(contract, Format.NDJSON))
    written += progress(7, Format.NDJSON) + expired(Format.NDJSON)
    found = [json.loads(line) for line in written.splitlines()]
    assert {event["type"] for event in found} == set(EVENTS[contract])
    for event in found:
        assert EVENTS[contract][event["type"]].model_validate(event).dumped() == event


def test_a_gap_moves_the_clients_place_behind_it() -> None:
    (event,) = parse(encode([Gap(3, 9, "retention")], Encoding(Contract.V1)))
    assert event["event"] == "gap"
    assert event["id"] == "9"
    assert json.loads(event["data"]) == {"first": 3, "last": 9, "reason": "retention"}


@pytest.mark.parametrize(("contract", "key"), [(Contract.PLAN, "exitCode"), (Contract.V1, "exit_code")])
def test_the_end_tells_how(contract: Contract, key: str) -> None:
    (event,) = parse(encode([End("preview_a", "failed", "It crashed.", 3, None, 0)], Encoding(contract)))
    assert event["event"] == "end"
    data = json.loads(event["data"])
    assert data[key] == 3
    assert data["status"] == "failed"
    assert data["reason"] == "It crashed."


def test_the_constants_are_whole_frames() -> None:
    assert parse(PREAMBLE + KEEP_ALIVE + progress(7, Format.SSE) + expired(Format.SSE)) == [
        {"retry": "2000"},
        {"id": "7"},
        {"event": "expired", "data": "{}"},
    ]


def test_a_batch_gives_its_parts() -> None:
    batch = batch_of("a", "b", "c", first=5)
    assert batch.after(4) is batch
    assert [line.seq for line in batch.after(5).lines] == [6, 7]
    assert batch.last_seq == 7
    assert "5..7" in repr(batch)
    batch.encoded(V1)
    twin = batch.bare()
    assert twin.lines == batch.lines
    assert twin._encoded == {}
    assert twin.size_bytes == batch.size_bytes < batch.held_bytes


def test_rows_become_batches_that_end_where_numbers_are_missing() -> None:
    rows = [(seq, 7, 20, "child.preview", str(seq), None) for seq in (2, 3, 5)]
    batches = batches_of("preview_a", rows)
    assert [[line.seq for line in batch] for batch in batches] == [[2, 3], [5]]
    assert batches_of("preview_a", []) == []


def test_marks_are_levels_and_sources() -> None:
    for mark, (level, _) in enumerate(MARKS):
        assert mark_of(level.value, STORED_SOURCES[mark // 4]) == mark
        assert MARKS[mark_of(level.value, "later.version")] == (level, Source.PREVIEW)
    assert MARKS[system_mark(Level.ERROR, ready=False)] == (Level.ERROR, Source.SYSTEM_STARTUP)
    assert MARKS[system_mark(Level.INFO, ready=True)] == (Level.INFO, Source.SYSTEM)
    recognised = bytes(range(8)).translate(STARTUP_PHASE)
    assert [MARKS[mark][1] for mark in recognised] == [Source.STARTUP] * 4 + [Source.REQUEST] * 4
    assert [MARKS[mark][0] for mark in recognised] == [*Level, *Level]
