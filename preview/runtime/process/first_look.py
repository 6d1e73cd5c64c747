"""Tests whether a runtime works, with one short program in a process like a preview's."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from preview.core.isolation import Network
from preview.runtime.interface import Exit, Limits, ProcessSpec, Runtime

_MIB = 1024 * 1024
_SAID: Final = "all is well"
# Writing must work in the working folder, and fail elsewhere.
_SCRIPT: Final = f'echo x > here && ! (echo x > /etc/x) 2>/dev/null && ! (echo x > /x) 2>/dev/null && echo "{_SAID}"'
_SHOWN_BYTES: Final = 500
# A port, for the user that follows from it.
_SLOT: Final = 65_535


@dataclass(frozen=True, slots=True)
class FirstLook:
    """Result of the test.

    Attributes:
        ended: The program's exit; None if it did not end in time.
        said: The first of its output.
    """

    ended: Exit | None
    said: str

    @property
    def is_well(self) -> bool:
        """True if the program ran, and could write only where a preview may."""
        return self.ended == Exit(code=0) and self.said == _SAID


async def look_around(runtime: Runtime, *, within_s: float, memory_mb: int) -> FirstLook:
    """Run the program.

    Args:
        runtime: The runtime to test.
        within_s: Deadline in seconds.
        memory_mb: Memory limit; a container's first program needs more than a sandbox's.

    Raises:
        LaunchFailed: The process cannot be started.

    Cancellation: the process is ended.
    """
    with tempfile.TemporaryDirectory(prefix="preview-probe-") as folder:
        # Made by this user, so that the test includes the change of owner.
        directory = Path(folder)
        spec = ProcessSpec(
            preview_id="preview_probe",
            argv=["/bin/sh", "-c", _SCRIPT],
            directory=directory,
            environment={},
            listener=None,
            limits=Limits(memory_mb * _MIB, open_files=64, processes=16, file_bytes=_MIB, temp_bytes=_MIB),
            writable=(directory,),
            network=Network.NONE,
            slot=_SLOT,
        )
        said = b""
        ended: Exit | None = None
        with trio.move_on_after(within_s):
            async with runtime.open_process(spec) as process:
                async for chunk in process.output:
                    said = (said + chunk)[:_SHOWN_BYTES]
                ended = await process.wait()
    return FirstLook(ended, said.decode("utf-8", "replace").strip())
