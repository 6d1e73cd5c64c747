from __future__ import annotations

import errno
import logging
from collections.abc import Sequence

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from preview.http.protocol.listening import PatientListener


class ShortListener(trio.abc.Listener[trio.abc.Stream]):
    """One whose machine answers each ``accept`` with the next of these errors, and at last with a connection."""

    def __init__(self, errors: Sequence[int]) -> None:
        self.stream, self.peer = trio.testing.memory_stream_pair()
        self._errors = list(errors)

    async def accept(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self._errors:
            raise OSError(self._errors.pop(0), "no")
        return self.stream

    async def aclose(self) -> None:
        await self.stream.aclose()


async def test_without_a_descriptor_left_connections_wait_and_that_is_said_in_one_line(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    short = ShortListener([errno.EMFILE, errno.ENFILE, errno.EMFILE])
    served = trio.Event()

    async def serve(stream: trio.abc.Stream) -> None:
        assert stream is short.stream
        served.set()

    with capture_logs() as said, caplog.at_level(logging.DEBUG):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, [PatientListener(short)])
            await served.wait()
            nursery.cancel_scope.cancel()
    assert [(line["event"], line["why"]) for line in said] == [("connections wait", "Too many open files")]
    assert caplog.records == []


async def test_another_error_of_a_listener_is_not_waited_out() -> None:
    with pytest.raises(OSError, match="no") as raised:
        await PatientListener(ShortListener([errno.EBADF])).accept()
    assert raised.value.errno == errno.EBADF
