"""Compilation of an environment's modules in the background, at the lowest priority, after the first launch.

A launch before the end of the compilation compiles its imports in memory; later launches load the compiled modules.
Compiling before the first launch would take longer than all other steps of a build.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.environments.folders.layout import Layout, finish_compiling, prepare_compiling, site_packages
from preview.environments.folders.locks import open_cage, try_lock
from preview.environments.sandbox.jail import Cage, Jail
from preview.environments.sandbox.program import BUILDER, program_environment, run_program
from preview.errors import PreviewError
from preview.runtime.cgroups import Cgroup
from preview.runtime.sandbox import interpreter_paths

_log = structlog.get_logger(__name__)

# If the queue is full, the environment is compiled after a later use.
_MAX_WAITING: Final = 64
_MAX_TRIED: Final = 10_000


class Compiler:
    """Compiles environments one after the other.

    Args:
        jail: Jail for the compiler, although it runs no code of packages; None compiles without a jail.
        timeout_s: Seconds for one environment; modules that are not compiled by then stay uncompiled.
    """

    def __init__(self, layout: Layout, jail: Jail | None, *, timeout_s: float) -> None:
        self._layout = layout
        self._jail = jail
        self._timeout_s = timeout_s
        # Keys that this process has tried: a failure would repeat.
        self._tried: set[str] = set()
        self._send, self._receive = trio.open_memory_channel[str](_MAX_WAITING)

    def want(self, key: str) -> None:
        """Queue an environment for compilation unless it is compiled; never waits."""
        if key in self._tried or self._layout.is_compiled(key):
            return
        try:
            self._send.send_nowait(key)
        except trio.WouldBlock:
            return
        if len(self._tried) >= _MAX_TRIED:
            self._tried.clear()
        self._tried.add(key)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Compile queued environments until cancelled. Run as one task in the service's nursery.

        Cancellation: the compiler is killed; complete modules stay, and the rest is compiled after the next use.
        """
        task_status.started()
        while True:
            key = await self._receive.receive()
            try:
                with trio.move_on_after(self._timeout_s):
                    await self.compile(key)
            except (OSError, PreviewError) as error:
                _log.info("environment not compiled", key=key, why=str(error))

    async def compile(self, key: str) -> None:
        """Compile an environment's modules in the jail; do nothing if it is locked for a build or removal.

        Raises:
            OSError: The disk reported an error.
            PreviewError: The compiler cannot be started or ran out of memory.

        Cancellation: see ``run``.
        """
        held = try_lock(self._layout.lock(key), exclusive=False)
        if held is None:
            return
        try:
            if not self._layout.is_usable(key) or self._layout.is_compiled(key):
                return
            directory, python = self._layout.directory(key), self._layout.python(key)
            await trio.to_thread.run_sync(prepare_compiling, directory)
            async with open_cage(self._jail, self._layout, key, partial(self._make_cage, key)) as cage:
                folders = await trio.to_thread.run_sync(site_packages, directory)
                # -I and -S: the interpreter runs no code of installed packages.
                ended = await run_program(
                    [str(python), "-I", "-S", str(BUILDER / "compile_modules.py"), *map(str, folders)],
                    environment=program_environment(os.environ),
                    directory=Path("/"),
                    cage=cage,
                )
            if ended.code != 0:
                _log.info("environment not compiled", key=key, why=" ".join(ended.tail(1)))
            await trio.to_thread.run_sync(finish_compiling, directory)
        finally:
            held.release()

    def _make_cage(self, key: str, jail: Jail, scratch: Path, group: Cgroup | None) -> Cage:
        directory = self._layout.directory(key)
        outside = [path for path in interpreter_paths(self._layout.python(key)) if not path.is_relative_to(directory)]
        readable = (*outside, jail.pythons, BUILDER)
        cage = Cage(jail, directory, scratch, readable=readable, foreign=False, group=group)
        cage.prepare()
        return cage
