"""Logs of one preview on nodes that are killed, with transactions that are lost, late or never answered.

The machine runs the real log and the real plan of the writer against a model of the row. No number stands for two
lines, and no line waits for ever.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from preview.logs import Batch, PreviewLog
from preview.logs.model.numbers import Numbers
from preview.logs.storage.handing import HandedNumbers, Handing
from preview.settings import Settings
from preview.storage.database import HandedEnd

FREE = 1000
counts = st.sampled_from((1, 10, 499, 600, 2000, 30_000))


class Row:
    """The model of ``owners.first_seq`` and ``handed_lines``."""

    def __init__(self) -> None:
        self.fence, self.first_seq, self.handed = 1, 1, 0

    def commit(self, fence: int, ends: dict[str, HandedEnd]) -> bool:
        if fence != self.fence:
            return False
        for end in ends.values():
            if end.instead_of is None:
                self.handed = max(self.handed, end.before)
            elif self.handed == end.instead_of:
                self.handed = end.before
        return True

    def take(self, stored: int) -> None:
        self.fence += 1
        self.first_seq = max(self.first_seq + FREE, self.handed, stored + 1)


class Writer:
    """What ``LogWriter`` does, with a database that the machine plays."""

    free_numbers = FREE

    def __init__(self, fence: int) -> None:
        self.fence = fence
        self.numbers = HandedNumbers()
        self.offered: list[Batch] = []
        self.lost = 0
        self.handing: Handing | None = None

    def open(self, preview_id: str, numbers: Numbers) -> None:
        numbers.begin(1, FREE)
        self.numbers.open(preview_id, numbers)

    def ask(self, preview_id: str) -> None:
        self.numbers.asking.add(preview_id)

    def offer(self, batch: Batch) -> None:
        self.offered.append(batch)

    def lose(self, _preview_id: str, lines: int) -> None:
        self.lost += lines


def ahead(lines: int) -> int:
    return max(FREE, min(100_000, 40 * lines))


class NumbersMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.row = Row()
        self.highest = 0
        self.stored = 0
        # Transactions whose answer was lost: they may still be committed, in their order.
        self.late: deque[tuple[int, dict[str, HandedEnd]]] = deque()
        self.printed = 0
        self.start()

    def start(self) -> None:
        self.writer = Writer(self.row.fence)
        self.log = PreviewLog(
            "p", settings=Settings(data_dir=Path("/nowhere")), writer=self.writer, store=None  # type: ignore[arg-type]
        )  # fmt: skip
        self.log.begin(self.row.first_seq)
        self.expected = deque[tuple[str, int]]()
        self.looked = 0

    @rule(count=counts, times=st.sampled_from((1, 1, 4)))
    def print_lines(self, count: int, times: int) -> None:
        for _ in range(times):
            self.printed += 1
            self.expected.append((str(self.printed), count))
            self.log._publish([str(self.printed)] + ["x"] * (count - 1), b"\x01" * count)

    def plan(self) -> Handing:
        self.look()
        batches, self.writer.offered, self.looked = self.writer.offered, [], 0
        return self.writer.numbers.plan(batches, ahead, None)

    @rule(outcome=st.sampled_from(("committed", "committed", "no answer", "late", "refused")), between=counts)
    def write(self, outcome: str, between: int) -> None:
        handing = self.plan()
        # The log goes on during the transaction.
        self.print_lines(between, 1)
        ends = dict(handing.ends)
        if outcome == "late":
            self.late.append((self.row.fence, ends))
        elif outcome != "refused":
            assert self.row.commit(self.writer.fence, ends)
            if outcome == "committed":
                self.writer.numbers.done(handing, (), FREE)
                return
        self.writer.numbers.undone(handing)

    @rule()
    def commit_late(self) -> None:
        if self.late:
            fence, ends = self.late.popleft()
            self.row.commit(fence, ends)

    @rule()
    def take_back(self) -> None:
        for preview_id in list(self.writer.numbers._many):
            self.writer.ask(preview_id)

    @rule()
    def kill(self) -> None:
        self.look()
        self.row.take(self.stored)
        self.start()

    @rule()
    def calm_down(self) -> None:
        for _ in range(3):
            handing = self.plan()
            assert self.row.commit(self.writer.fence, dict(handing.ends))
            self.writer.numbers.done(handing, (), FREE)
        self.look()
        assert not self.log._unnumbered
        assert not self.writer.numbers.asking
        assert not self.expected

    def look(self) -> None:
        for batch in self.writer.offered[self.looked :]:
            assert batch.first_seq > self.highest
            assert (batch.messages[0], len(batch)) == self.expected.popleft()
            self.highest = batch.last_seq
        self.looked = len(self.writer.offered)

    @invariant()
    def no_number_can_be_used_again(self) -> None:
        end = max(self.row.first_seq + FREE, self.row.handed)
        assert self.log.last_seq < self.log._numbers.before <= end


def test_a_late_transaction_takes_no_numbers_of_later_ones_back() -> None:
    newest = 900
    numbers = Numbers(lambda: newest, lambda: None)
    numbers.begin(1, FREE)
    assert numbers.wish(9099) == HandedEnd(10_000, None)
    numbers.grant(HandedEnd(10_000, None), 9099)
    newest = 1000
    # Its answer is lost, and it is committed much later.
    assert numbers.wish(FREE) == HandedEnd(2001, 10_000)
    newest = 1900
    # 10,000 again would let it through.
    assert numbers.wish(8099) == HandedEnd(10_001, None)


def run(examples: int) -> None:
    run_state_machine_as_test(
        NumbersMachine, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None)
    )


async def test_no_number_stands_for_two_lines() -> None:
    await trio.lowlevel.checkpoint()
    run(20)


@pytest.mark.long
async def test_no_number_stands_for_two_lines_for_longer() -> None:
    await trio.lowlevel.checkpoint()
    run(3000)
