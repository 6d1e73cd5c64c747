"""How long a start may wait for a backing service that does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from preview.core.isolation import Network
from preview.core.lifecycle import State
from preview.detection import ServiceKind, ServiceNeed
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.runtime import Usage
from preview.supervisor.diagnosis.needs import watch_needs
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.network import Reach

# Nobody asks a host elsewhere on behalf of a preview without a network.
NONE = Reach(Network.NONE, Network.NONE, frozenset(), own_port=3001)
RABBITMQ = ServiceNeed(ServiceKind.RABBITMQ, None, "shop/config.py:3", address=("queue.example.org", 5672))


class Starting:
    """As much of a preview that starts as is looked at. Nothing answers it, and it answers nobody.

    Args:
        cpu_percent: What its program uses.
    """

    def __init__(self, cpu_percent: float) -> None:
        self.record = SimpleNamespace(state=State.STARTING, pid=None, port=3001)
        self.reach, self.directory, self.inner, self.any_answer = NONE, None, None, True
        self.usage = Usage(0, cpu_percent, 1)
        self.outcome: LaunchFailed | None = None
        self.log = self
        self.ended_at: float | None = None

    def say(self, _: str, _level: Level = Level.INFO) -> None:
        """Take a line of the log."""

    def output_since(self, _seq: int, _most: int) -> list[str]:
        """It prints nothing."""
        return []

    def fail(self, error: LaunchFailed) -> None:
        """Take the reason of its end."""
        self.outcome, self.ended_at = error, trio.current_time()


async def answers() -> bool:
    return False


def grows(share: float) -> Callable[[], Awaitable[float]]:
    """A program that waits for a processor for this share of all time."""
    began = trio.current_time()

    async def measure() -> float:
        await trio.lowlevel.checkpoint()
        return share * (trio.current_time() - began)

    return measure


@pytest.mark.parametrize(
    ("cpu_percent", "queued", "after_s"),
    [
        pytest.param(0.0, 0.0, 10, id="idle"),
        pytest.param(0.0, 0.1, 10, id="idle on a machine with little load"),
        pytest.param(90.0, 0.0, 20, id="busy"),
        pytest.param(10.0, 0.75, 80, id="slow on a loaded machine"),
    ],
)
async def test_time_in_which_a_program_waits_for_a_processor_is_not_time_for_a_service(
    autojump_clock: MockClock, cpu_percent: float, queued: float, after_s: int
) -> None:
    preview = Starting(cpu_percent)
    began = trio.current_time()
    await watch_needs(
        cast("LivePreview", preview), [RABBITMQ], since_seq=0, answers=answers, measure_wait=grows(queued)
    )
    assert preview.ended_at is not None
    assert after_s <= preview.ended_at - began <= after_s + 2
    assert "It needs RabbitMQ at queue.example.org:5672 (shop/config.py:3)" in str(preview.outcome)
