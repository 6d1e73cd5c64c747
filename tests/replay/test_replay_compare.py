"""The data that the trials of a comparison begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from preview.core.lifecycle import State
from preview.proxy import ProxyResponse
from preview.replay.compare import CompareOptions, Side, compare
from preview.replay.sending import Step
from preview.supervisor import FirstData, TrialRequest
from preview.traffic.ready import ReadyRequest


class Rig:
    """A service whose running data is another one at each look; its trials keep what they begin with."""

    def __init__(self, running: set[str]) -> None:
        self.opened: list[str] = []
        self.began: list[str | None] = []
        active = SimpleNamespace(record=SimpleNamespace(state=State.RUNNING))
        self.service: Any = SimpleNamespace(
            settings=SimpleNamespace(proxy_body_bytes=1000),
            data=SimpleNamespace(open_first_data=self.open_first_data),
            previews=SimpleNamespace(
                active=lambda name: active if name in running else None, trials=SimpleNamespace(open=self.open)
            ),
        )

    @asynccontextmanager
    async def open_first_data(self, generation: Any, snapshot: str) -> AsyncIterator[FirstData]:
        self.opened.append(f"{generation.id} {snapshot}")
        yield FirstData(Path(), (), f"{generation.id} {snapshot} {len(self.opened)}")

    @asynccontextmanager
    async def open(self, request: TrialRequest) -> AsyncIterator[Any]:
        self.began.append(None if request.first_data is None else request.first_data.source)

        async def read_on() -> None:
            pass

        yield SimpleNamespace(log=SimpleNamespace(last_seq=0, read_on=read_on, last_lines=lambda _: []))


async def send(*_: object) -> ProxyResponse:
    return ProxyResponse(200, [], b"ok", 1.0)


@pytest.mark.parametrize(
    ("running", "snapshots", "opened", "began"),
    [
        ({"a"}, (None, None), ["a now"], ["a now 1"] * 3),
        ({"a"}, ("s", None), ["a s"], ["a s 1"] * 3),
        ({"a", "b"}, (None, "now"), ["a now", "b now"], ["a now 1", "a now 1", "b now 2"]),
        (set(), (None, None), [], [None] * 3),
    ],
)
async def test_all_trials_begin_with_one_copy(
    running: set[str], snapshots: tuple[str | None, str | None], opened: list[str], began: list[str | None]
) -> None:
    rig = Rig(running)
    first, second = (
        Side(cast("Any", SimpleNamespace(id=name)), snapshot=one) for name, one in zip("ab", snapshots, strict=True)
    )
    steps = [Step(ReadyRequest("POST", "/orders", (), b"{}"))]
    await compare(rig.service, cast("Any", None), (first, second), steps, send, CompareOptions())
    assert (rig.opened, rig.began) == (opened, began)
