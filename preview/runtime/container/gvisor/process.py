"""A process tree in gVisor: on the machine it is gVisor's sandbox, which ends with all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import trio

from preview.core.descriptors import raise_want
from preview.runtime.container.gvisor.meeting import Meeting
from preview.runtime.container.joining import Order
from preview.runtime.container.process import ContainerProcess
from preview.runtime.warm.packets import PacketsEnded, send


class GvisorProcess(ContainerProcess):
    """See ``RunningProcess``. Made by ``GvisorRuntime``."""

    _meeting: Meeting
    _numbers: Iterator[int]

    def take(self, meeting: Meeting, own_tasks: int) -> None:
        """Complete the process.

        Args:
            meeting: Opens connections to the container's first program.
            own_tasks: Tasks of gVisor in the container's control group, before the program ran.
        """
        self._meeting = meeting
        self._numbers = count(1)
        self._wrappers = own_tasks

    async def _ask(self) -> None:
        # A signal to the sandbox would end it at once; the engine takes a third of a second to signal.
        try:
            await send(self.own, b"end")
        except PacketsEnded:
            await trio.lowlevel.checkpoint()

    async def _start_check(self, order: Order) -> tuple[trio.abc.ReceiveStream, trio.abc.ReceiveStream]:
        # The first program starts a check when it has both connections of one number.
        number = str(next(self._numbers)).encode()
        try:
            output = await self._meeting.send(number + b"\n" + replace(order, descriptors={1: 1}).packed())
            try:
                return output, await self._meeting.send(number)
            except BaseException:
                await trio.aclose_forcefully(output)
                raise
        except OSError as error:
            raise_want(error)
            raise PacketsEnded from error
        except trio.BrokenResourceError as error:
            raise PacketsEnded from error
