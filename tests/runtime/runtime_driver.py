"""A service in a process of its own, which a test may kill or run as another user.

Prints one line of JSON: the process's pids, outermost first; or why the machine does not sandbox. Then sleeps.

Usage: runtime_driver.py plain|sandbox|inner|warm|suspended|container PROJECT_FOLDER PROGRAM_NAME [PORT_FD]
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import child_programs
import structlog
import trio
from runtime_kit import INTERPRETER, LIMITS, PYTHON
from runtime_warm import as_warm, open_texts

from preview.runtime import (
    FD_PLACEHOLDER,
    PlainRuntime,
    ProcessSpec,
    Refusal,
    Runtime,
    SandboxRuntime,
    Snapshot,
    child_subreaper,
    probe_sandbox,
)
from preview.runtime.container import probe_containers
from preview.runtime.kernel import proctree
from preview.runtime.sandbox import open_broker_if_needed
from preview.runtime.warm.eligibility import why_never
from preview.settings import Settings

# Its output is read as JSON.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


async def main(name: str, project: Path, program: str, listener_fd: int | None) -> None:
    async with AsyncExitStack() as stack:
        etc = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(child_subreaper())
        broker = await stack.enter_async_context(open_broker_if_needed(Path(etc)))
        sandbox = await probe_sandbox(Path(etc), broker=broker)
        if isinstance(sandbox, Refusal) and name not in ("plain", "container"):
            print(json.dumps({"refused": sandbox.reason}), flush=True)
            return
        if isinstance(sandbox, SandboxRuntime) and name == "warm":
            why = await why_never(sandbox.parts)
            if why is not None:
                print(json.dumps({"refused": why}), flush=True)
                return
        runtime: Runtime = PlainRuntime()
        if name == "container":
            engine = f"unix://{os.environ['PREVIEW_TEST_ENGINE']}"
            own: Any = os.environ.get("PREVIEW_TEST_CONTAINER_RUNTIME") or None
            settings = Settings(data_dir=Path(etc), container_engine=engine, container_runtime=own)
            contained = await probe_containers(settings)
            assert not isinstance(contained, Refusal)
            runtime = contained
        if isinstance(sandbox, SandboxRuntime) and name not in ("plain", "container"):
            if name == "inner":
                sandbox._fences = False
            is_warm = name in ("warm", "suspended")
            runtime = await stack.enter_async_context(open_texts(sandbox)) if is_warm else sandbox
        listener = None if listener_fd is None else socket.socket(fileno=listener_fd)
        argv = [*PYTHON, getattr(child_programs, program), FD_PLACEHOLDER]
        spec = ProcessSpec(
            preview_id="preview_test",
            argv=argv,
            directory=project,
            environment={},
            listener=listener,
            limits=LIMITS,
            readable=INTERPRETER,
            writable=(project,),
            slot=3001 if listener is None else listener.getsockname()[1],
        )
        opener: Runtime | Snapshot = runtime
        if name == "suspended":
            spec = as_warm(spec, [])
            opener = await stack.enter_async_context(runtime.open_snapshot(spec))
        async with opener.open_process(spec) as process:
            said = await process.output.receive_some()
            pids = [process.identity.pid, *proctree.descendants(process.identity.pid)]
            print(
                json.dumps({"uid": os.getuid(), "service": os.getpid(), "said": said.decode().strip(), "pids": pids}),
                flush=True,
            )
            await trio.sleep_forever()


if __name__ == "__main__":
    descriptor = int(sys.argv[4]) if len(sys.argv) > 4 else None
    trio.run(main, sys.argv[1], Path(sys.argv[2]), sys.argv[3], descriptor)
