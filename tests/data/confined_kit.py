"""Runners of confined programs: a plain process, which is quick, and one in a real sandbox."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from preview.data import ConfinedProgram, RunConfined
from preview.errors import DataUnavailable
from preview.runtime import Exit, Limits, ProcessSpec, SandboxRuntime, probe_sandbox
from preview.runtime.sandbox import open_broker_if_needed

_MIB = 1024 * 1024
_LIMITS = Limits(memory_bytes=512 * _MIB, open_files=64, processes=32, file_bytes=256 * _MIB)


async def run_plain(program: ConfinedProgram) -> bytes:
    with trio.fail_after(60):
        done = await trio.run_process(
            list(program.argv),
            env=dict(program.environment),
            cwd=program.directory,
            stdin=subprocess.DEVNULL,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise DataUnavailable(done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2])
    return done.stdout


@asynccontextmanager
async def open_sandbox(folder: Path) -> AsyncIterator[RunConfined]:
    """A runner as the service has one: the preview's own user, no network, limits."""
    if shutil.which("bwrap") is None:
        pytest.skip("no bwrap")
    async with open_broker_if_needed(folder) as broker:
        runtime = await probe_sandbox(folder / "etc", broker=broker)
        if not isinstance(runtime, SandboxRuntime):
            pytest.skip(f"no sandbox: {runtime.reason}")

        async def run(program: ConfinedProgram) -> bytes:
            spec = ProcessSpec(
                preview_id="confined",
                argv=program.argv,
                directory=program.directory,
                environment=program.environment,
                listener=None,
                limits=_LIMITS,
                readable=program.readable,
                writable=program.writable,
                slot=3902,
            )
            with trio.fail_after(60):
                async with runtime.open_process(spec) as process:
                    said = b"".join([chunk async for chunk in process.output])
                    if await process.wait() != Exit(code=0):
                        raise DataUnavailable(said.decode("utf-8", "replace").strip().rpartition("\n")[2])
            return said

        yield run
