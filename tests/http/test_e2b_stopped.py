"""The kill switch refuses sandboxes of the E2B API too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from preview.http.e2b.boxes import Boxes
from preview.http.e2b.errors import E2bError
from preview.rollout import Flag, FlagName, Rollout, Rule
from preview.settings import Settings


@pytest.mark.parametrize(
    ("flag", "is_stopped"),
    [
        (Flag(FlagName.LAUNCHES, value="off", reason="We change a disk.", version=1), True),
        (Flag(FlagName.LAUNCHES, rules=(Rule("off", tiers=frozenset({"free"})),), version=1), True),
        (Flag(FlagName.LAUNCHES, rules=(Rule("off", users=frozenset({"ben"})),), version=1), False),
    ],
)
async def test_no_sandbox_is_made_while_the_operator_has_stopped_launches(
    tmp_path: Path, flag: Flag, is_stopped: bool
) -> None:
    # Without a place for sandboxes, one that is not refused by the flag is refused by the limit.
    settings = Settings(data_dir=tmp_path).model_copy(update={"e2b_sandboxes": 0})
    rollout = Rollout(None, settings, "sandbox")
    rollout._take(flag)
    service: Any = SimpleNamespace(settings=settings, rungs=(), draining=trio.Event(), rollout=rollout)
    async with trio.open_nursery() as nursery:
        boxes = Boxes(service, nursery)
        with pytest.raises(E2bError) as refused:
            await boxes.create("ann", "base", 60.0, {}, {})
    assert refused.value.code == ("unavailable" if is_stopped else "resource_exhausted")
    assert ("stopped launches" in refused.value.message) == is_stopped
    assert not boxes._reserved
