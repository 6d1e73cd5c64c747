from __future__ import annotations

import pytest
from supervisor_kit import Rig

from preview.core import clock

_DAY_MS = 24 * 3600 * 1000


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_token_holds_its_time_whatever_is_done_to_the_wall_clock(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    rig.source.add("g1")
    launched = await rig.launch("g1")
    preview = rig.preview(launched)
    now_ms = clock.now_ms
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms() + days * _DAY_MS)
    assert preview.accept_token(launched.token)
    assert preview.accept_token(preview.further_token())
