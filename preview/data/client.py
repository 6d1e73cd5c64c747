"""Programs that read or write a preview's data, each in a sandbox of its own, as the preview's own user.

What a preview has stored is a stranger's: a database file, a dump, a table's name. So no parser of it runs in the
service. A program here has the preview's limits, no network, and besides the system's folders only those that it is
given.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from preview.core.isolation import Network
from preview.errors import DataUnavailable, LaunchFailed
from preview.runtime import Exit, ProcessSpec, RunningProcess, Runtime, beside

_MOST_BYTES = 4 * 1024 * 1024
_DRAIN_S = 0.5
_LOOK_S = 0.2
_ERROR = re.compile(r"\berror\b", re.IGNORECASE)
_MOST_SAID = 300
LONGEST_S = 60.0
"""Seconds that a program may take, if its caller does not say otherwise."""


@dataclass(frozen=True, slots=True)
class ConfinedProgram:
    """A program to run beside a preview.

    Attributes:
        argv: Program (absolute path) and arguments.
        environment: All of its variables.
        readable: Folders that it needs besides the system's.
        writable: Folders that it may write; they belong to the preview's own user afterwards.
        directory: Its working folder.
        shown_at: Folders of ``writable`` that it sees at another path, by that path.
        longest_s: Seconds that it may take.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    directory: Path
    shown_at: Mapping[Path, Path] = field(default_factory=dict)
    longest_s: float = LONGEST_S


RunConfined = Callable[[ConfinedProgram], Awaitable[bytes]]
"""Runs a program to its end; returns what it printed, stdout and stderr as one. Raises ``DataUnavailable``."""


class Confined:
    """Runs programs beside one preview.

    Args:
        runtime: Confines them.
        like: Specification of a process of the preview: whose they are, and their limits.
        next_number: Returns the number of the preview's next process.
    """

    def __init__(self, runtime: Runtime, like: ProcessSpec, next_number: Callable[[], int]) -> None:
        self._runtime = runtime
        self._like = like
        self._next_number = next_number

    async def run(self, program: ConfinedProgram) -> bytes:
        """Run a program to its end; return what it printed, at most 4 MiB.

        Raises:
            DataUnavailable: It failed, took too long or too much memory, or printed too much. The message ends
                with its last line.

        Cancellation: all its processes are gone.
        """
        printed, why = bytearray(), list[str]()
        ended: Exit | None = None
        try:
            with trio.move_on_after(program.longest_s):
                async with self._runtime.open_process(self._spec(program)) as process:
                    ended = await self._read(process, printed, why)
        except LaunchFailed as error:
            raise DataUnavailable(f"A program of the service could not be started: {error.message}") from error
        name = Path(program.argv[0]).name
        if ended is None:
            raise DataUnavailable(f"{name} took more than {program.longest_s:g} s and was stopped.")
        if why:
            raise DataUnavailable(f"{name} was stopped: {why[0]}.")
        if ended != Exit(code=0):
            raise DataUnavailable(f"{name} failed: {last_words(printed) or ended}")
        return bytes(printed)

    def _spec(self, program: ConfinedProgram) -> ProcessSpec:
        return replace(
            self._like,
            argv=program.argv,
            directory=program.directory,
            environment=program.environment,
            listener=None,
            readable=program.readable,
            writable=program.writable,
            around=None,
            shown_at=program.shown_at,
            network=Network.NONE,
            loopback_ports=(),
            reaches={},
            port=None,
            warm=None,
            control=None,
            number=self._next_number(),
        )

    async def _read(self, process: RunningProcess, printed: bytearray, why: list[str]) -> Exit:
        """Return the program's exit; ``why`` says why it was stopped.

        A process that it leaves behind may keep the pipe open for a moment only.
        """
        done = trio.Event()

        async def read() -> None:
            try:
                async for chunk in process.output:
                    printed.extend(chunk)
                    if len(printed) > _MOST_BYTES:
                        break
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            done.set()

        async def watch() -> None:
            limit = self._like.limits.memory_bytes
            while not why:
                await trio.sleep(_LOOK_S)
                if "memory" not in self._runtime.holds() and (await process.usage()).memory_bytes > limit:
                    why.append("it took more memory than a preview may have")
                elif len(printed) > _MOST_BYTES:
                    why.append(f"it printed over {_MOST_BYTES // 1024**2} MiB")
            await process.stop(0)

        async with beside(read), beside(watch):
            ended = await process.wait()
            with trio.move_on_after(_DRAIN_S):
                await done.wait()
        return ended


def last_words(printed: bytes | bytearray) -> str:
    """Return the last line that names an error, else the last one; an error may quote lines of a stranger's."""
    lines = [line for line in bytes(printed[-4096:]).decode("utf-8", "replace").splitlines() if line.strip()]
    line = next((line for line in reversed(lines) if _ERROR.search(line)), lines[-1] if lines else "")
    return "".join(one if one.isprintable() else "?" for one in line[:_MOST_SAID])
