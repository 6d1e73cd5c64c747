"""Reports of requests at the preview's own port come from a stranger's process: everything about them has a bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from traffic_room import Lines, direct_report

from preview.core.ids import REQUEST_MARK
from preview.traffic import Capture, Draft, Origin, PreviewTraffic, Who
from preview.traffic.preview_traffic import Bounds


def recorder(capture: Capture = Capture.META) -> tuple[PreviewTraffic, list[Draft]]:
    bounds = Bounds(100_000, 100_000_000)
    traffic = PreviewTraffic("preview_a", capture=capture, lines=Lines(7), bounds=bounds, wake=lambda: None)
    drafts: list[Draft] = []
    traffic.listeners.append(lambda _, draft: drafts.append(draft))
    return traffic, drafts


BAD = [
    b"request",
    b"request ",
    b"request 0 GET 200 1 r1 ",
    b"request -1 GET 200 1 r1 /",
    b"request 0 get 200 1 r1 /",
    b"request 0 GET 2000 1 r1 /",
    b"request 0 GET 200 999999999999 r1 /",
    b"request 0 GET 200 1 " + b"r" * 65 + b" /",
    b"request 0 GET 200 1 r1 /a b",
    b"request 0 GET 200 1 r1 http://other/",
    b"request 0 GET 200 1 r1 /\x00",
    b"request 0 GET 200 1 r1 /\xff",
    b"request 0 GET 200 1 r1 /" + b"a" * 1024,
    "request ٣ GET 200 1 r1 /".encode(),
    b"request 0 GET 200 1 r1 /\r",
]


@pytest.mark.parametrize("line", BAD)
def test_what_is_no_report_records_nothing(line: bytes) -> None:
    traffic, drafts = recorder()
    traffic.direct.take(line)
    assert (drafts, traffic.lost_records) == ([], 0)


@given(some.binary(max_size=200))
def test_any_rest_of_a_report_is_ignored_or_a_direct_record_of_this_preview(rest: bytes) -> None:
    traffic, drafts = recorder()
    traffic.direct.take(b"request " + rest)
    assert all(draft.origin is Origin.DIRECT and draft.who is Who.UNKNOWN for draft in drafts)


def test_a_report_cannot_name_a_request_of_the_service_or_one_that_it_carries() -> None:
    traffic, drafts = recorder()
    traffic.direct.carried(b"mine")
    traffic.direct.carried(b"mine")
    for name in ("mine", "mine", REQUEST_MARK, REQUEST_MARK + "0123456789abcdef"):
        traffic.direct.take(direct_report(name))
    assert drafts == []
    traffic.direct.take(direct_report("mine"))
    assert [draft.request_id for draft in drafts] == [b"mine"]


def test_a_flood_of_carried_ids_is_forgotten_and_takes_bounded_memory() -> None:
    traffic, _ = recorder()
    for number in range(5000):
        traffic.direct.carried(b"%d" % number)
    assert len(traffic.direct._carried) == 1000


def test_few_reports_of_a_second_become_records_and_the_others_are_counted() -> None:
    traffic, drafts = recorder()
    for number in range(1000):
        traffic.direct.take(direct_report(f"r{number}"))
    traffic.direct.take(direct_report(dropped=9_999_999))
    assert len(drafts) in range(100, 202)
    assert traffic.lost_records == 1001 - len(drafts) + 1_000_000


def test_nothing_is_recorded_with_capture_off() -> None:
    traffic, drafts = recorder(Capture.OFF)
    traffic.direct.take(direct_report())
    assert (drafts, traffic.lost_records) == ([], 0)
