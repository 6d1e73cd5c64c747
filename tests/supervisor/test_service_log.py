"""The service's own log has each preview's launch, its first answer, and exactly one end, whatever that was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import structlog
import trio
from structlog.testing import capture_logs
from supervisor_kit import ANN, CRASHES_WHEN_ASKED, EXITS_3, NEVER_ANSWERS, SERVER, MemorySource, Rig, ask, open_rig
from test_reconcile import killed_service

from preview.cli.local.hosting import configure_logging
from preview.core.lifecycle import State, StopCause
from preview.errors import InvalidGeneration
from preview.generations import Generation
from preview.settings import Settings
from preview.storage import PreviewStore, open_database
from preview.supervisor.preview.service_log import EVENTS, log_transition

MakeSettings = Callable[..., Settings]
Line = MutableMapping[str, Any]

ENDS = ("preview stopped", "preview expired", "preview failed")


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    with capture_logs() as captured:
        yield captured


def of_previews(lines: list[Line]) -> list[Line]:
    """Those of the table, each with exactly its fields, at INFO."""
    found = [one for one in lines if one["event"] in EVENTS]
    for one in found:
        assert set(one) == {*EVENTS[one["event"]], "event", "log_level"}
        assert one["log_level"] == "info"
    return found


def story(lines: list[Line]) -> list[str]:
    return [one["event"] for one in of_previews(lines)]


def end(lines: list[Line]) -> Line:
    (found,) = [one for one in of_previews(lines) if one["event"] in ENDS]
    return found


async def test_a_preview_that_its_user_stops(rig: Rig, lines: list[Line]) -> None:
    preview = await rig.running()
    await rig.service.previews.stop("g1")
    assert story(lines) == ["preview launched", "preview running", "preview stopped"]
    whose = {"preview_id": preview.id, "generation_id": "g1", "project_id": "project-of-g1", "user_id": "ann"}
    for one in of_previews(lines):
        assert whose.items() <= one.items()
    running, stopped = of_previews(lines)[1:]
    assert 0 < running["uptime_s"] <= stopped["uptime_s"] < 120
    assert (stopped["by"], stopped["reason"], stopped["exit_signal"]) == ("ann", "stopped on request", 15)


async def test_a_preview_whose_time_is_over(make_settings: MakeSettings, lines: list[Line]) -> None:
    async with open_rig(make_settings(max_uptime_enterprise_s=0.5)) as rig:
        preview = rig.preview(await rig.launch(rig.source.add("g1", NEVER_ANSWERS)))
        await preview.over.wait()
    assert story(lines) == ["preview launched", "preview expired"]
    assert end(lines)["by"] == "deadline"


async def test_a_preview_that_nobody_uses(make_settings: MakeSettings, lines: list[Line]) -> None:
    async with open_rig(make_settings(inactive_timeout_s=0.5)) as rig:
        preview = await rig.running(SERVER)
        await preview.over.wait()
    assert story(lines) == ["preview launched", "preview running", "preview expired"]
    assert end(lines)["by"] == "inactivity"


async def test_a_preview_that_crashes(rig: Rig, lines: list[Line]) -> None:
    preview = await rig.running(CRASHES_WHEN_ASKED)
    # The connection is closed, or reset.
    with suppress(trio.BrokenResourceError):
        await ask(preview, "/crash")
    await preview.over.wait()
    assert story(lines) == ["preview launched", "preview running", "preview failed"]
    assert (end(lines)["by"], end(lines)["exit_code"], end(lines)["exit_signal"]) == ("service", None, 9)


async def test_a_preview_that_does_not_start(rig: Rig, lines: list[Line]) -> None:
    preview = await rig.running(EXITS_3)
    await preview.over.wait()
    assert story(lines) == ["preview launched", "preview failed"]
    assert (end(lines)["by"], end(lines)["exit_code"]) == ("service", 3)


async def test_a_launch_that_is_refused_before_its_row_is_stored_has_its_end_alone(rig: Rig, lines: list[Line]) -> None:
    rig.source.add("g1", app="nothing = 1\n")
    with pytest.raises(InvalidGeneration):
        await rig.launch("g1")
    await rig.service.previews.stop_all()
    assert story(lines) == ["preview failed"]


async def test_previews_that_end_with_the_service(make_settings: MakeSettings, lines: list[Line]) -> None:
    async with open_rig(make_settings()) as rig:
        await rig.running(generation_id="g1")
        await rig.running(generation_id="g2")
    ends = [one for one in of_previews(lines) if one["event"] in ENDS]
    assert [(one["event"], one["by"]) for one in ends] == [("preview stopped", "shutdown")] * 2
    assert {one["generation_id"] for one in ends} == {"g1", "g2"}


async def test_a_preview_that_is_stopped_twice_has_one_end(rig: Rig, lines: list[Line]) -> None:
    preview = await rig.running()
    preview.request_stop(StopCause.USER)
    preview.request_stop(StopCause.SHUTDOWN)
    await preview.over.wait()
    assert end(lines)["by"] == "ann"


async def test_a_restart_in_place_is_no_transition(rig: Rig, lines: list[Line]) -> None:
    await rig.running()
    await rig.service.previews.restart(ANN, "g1")
    assert story(lines) == ["preview launched", "preview running"]


async def test_after_kill_9_the_next_start_logs_the_end_once(make_settings: MakeSettings, lines: list[Line]) -> None:
    settings = make_settings()
    preview_id, _, _ = await killed_service(settings)
    for _ in range(2):
        async with open_rig(settings):
            pass
    assert story(lines) == ["preview failed"]
    assert (end(lines)["preview_id"], end(lines)["by"], end(lines)["uptime_s"]) == (preview_id, "service", None)
    assert "ended unexpectedly" in end(lines)["reason"]


@pytest.mark.parametrize(
    ("cause", "event", "by"),
    [
        (StopCause.USER, "preview stopped", "ann"),
        (StopCause.EXPIRED, "preview expired", "deadline"),
        (StopCause.INACTIVE, "preview expired", "inactivity"),
        (StopCause.SHUTDOWN, "preview stopped", "shutdown"),
    ],
)
async def test_a_preview_that_was_stopping_at_kill_9_ends_as_it_would_have(
    make_settings: MakeSettings, lines: list[Line], cause: StopCause, event: str, by: str
) -> None:
    settings = make_settings()
    async with open_rig(settings) as rig:
        preview = await rig.running()
        preview.request_stop(cause)
        await preview.over.wait()
    row = replace(preview.record, id="preview_crashed", state=State.STOPPING)
    async with open_database(settings.resolved_database_url) as database:
        await PreviewStore(database).insert(row)
    lines.clear()
    async with open_rig(settings):
        pass
    assert (end(lines)["event"], end(lines)["by"]) == (event, by)


FORGED = "shop\n00:00:00 [info] preview stopped by=eve\x1b[2J\x1b[31mred\x9b2J\u202e"
# The last line of a traceback is quoted in the reason.
QUOTES = f"import sys; print({('ModuleNotFoundError: No module named ' + repr(FORGED))!r}, flush=True); sys.exit(3)"


class HostilePeople(MemorySource):
    """A host whose projects' ids are anything at all."""

    async def get(self, generation_id: str) -> Generation:
        return replace(await super().get(generation_id), project_id=FORGED)


@pytest.mark.parametrize("log_format", ["console", "json", "a host's own"])
async def test_text_of_others_forges_no_line_and_acts_on_no_terminal(
    rig: Rig, capfd: pytest.CaptureFixture[str], log_format: str
) -> None:
    rig.source.__class__ = HostilePeople
    if log_format != "a host's own":
        configure_logging("INFO", log_format)
    structlog.configure(cache_logger_on_first_use=False)
    try:
        preview = await rig.running(QUOTES)
        await preview.over.wait()
        preview.record = replace(preview.record, reason=f"failed: {FORGED}" + "\x1b" * 5000)
        log_transition(preview.record)
    finally:
        structlog.reset_defaults()
    printed, errors = capfd.readouterr()
    said = [one for one in (printed + errors).splitlines() if re.search("preview (launched|failed)", one)]
    assert len(said) == 3
    for one in said:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", re.sub("\x1b\\[[0-9]*m", "", one))
        assert len(one) < 5000
    assert not [one for one in (printed + errors).splitlines() if one.startswith("00:00:00")]
    assert "\x1b[2J" not in printed + errors
    assert "\x1b[31mred" not in printed + errors
