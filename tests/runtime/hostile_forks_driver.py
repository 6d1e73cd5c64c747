"""A service in a process of its own, which a fork attacks: it may be killed, and the test is not.

Usage: hostile_forks_driver.py ATTACK DATA_FOLDER PROJECT_FOLDER [PASSRIGHTS_NUMBER]. Prints one line of JSON when the
attack is over: what the start said, and whether the service is in the control group that it was in, and has groups.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import structlog
import trio
from hostile_forks import IMPORTS
from runtime_kit import read_line
from runtime_warm import make_environment, open_warm, settled

from preview.runtime import (
    NoSnapshot,
    ProcessSpec,
    Refusal,
    SandboxRuntime,
    WarmStart,
    child_subreaper,
    inbound,
    probe_sandbox,
)
from preview.runtime.cgroups import CgroupTree, open_cgroups
from preview.runtime.sandbox import open_broker_if_needed
from preview.runtime.warm import WarmRuntime
from preview.runtime.warm.eligibility import why_never

LAUNCHER = Path(__file__).with_name("hostile_launchers") / "run_attack.py"
RUNS = "print('runs', flush=True); import time; time.sleep(600)"

# Its output is read as JSON.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def own_groups() -> str:
    return Path("/proc/self/cgroup").read_text(encoding="utf-8")


async def start(warm: WarmRuntime, attack: str, spec: ProcessSpec, told: list[str]) -> str:
    """Start what the attack is on, and end it; what was said of that."""
    if attack.startswith("template"):
        async with warm.open_process(spec) as process:
            return f"{told[-1]}; {await read_line(process)}"
    try:
        async with warm.open_snapshot(spec) as kept, kept.open_process(spec):
            return "restarted"
    except NoSnapshot as error:
        return f"no snapshot: {error}"


async def main(attack: str, data: Path, project: Path) -> None:
    async with AsyncExitStack() as stack:
        etc = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(child_subreaper())
        broker = await stack.enter_async_context(open_broker_if_needed(Path(etc)))
        sandbox = await probe_sandbox(Path(etc), broker=broker)
        found = await stack.enter_async_context(open_cgroups(data))
        groups = found if isinstance(found, CgroupTree) else None
        why = sandbox.reason if isinstance(sandbox, Refusal) else await why_never(sandbox.parts)
        if isinstance(sandbox, Refusal) or why is not None:
            print(json.dumps({"refused": why}))
            return
        before, parts = own_groups(), sandbox.parts
        grouped = SandboxRuntime(parts.etc, own_users=parts.own_users, groups=groups, broker=broker)
        packages = {"attacking": IMPORTS[attack]} if attack.startswith("template") else {}
        environment = make_environment(Path(etc) / "environment", packages)
        told: list[str] = []
        spec = environment.spec(RUNS, project, told, number=2)
        warm_start = WarmStart("attacked", LAUNCHER, environment.modules, frozenset(), (), told.append)
        argv = [str(environment.python), str(LAUNCHER), RUNS, "" if packages else IMPORTS[attack]]
        spec = replace(spec, argv=argv, readable=(*spec.readable, LAUNCHER.parent), warm=warm_start)
        warm = await stack.enter_async_context(open_warm(grouped))
        assert await settled(warm, spec)
        with trio.fail_after(60):
            said = await start(warm, attack, spec, told)
        told_of = {"said": said, "same_group": own_groups() == before, "has_groups": groups is not None}
        print(json.dumps(told_of), flush=True)


if __name__ == "__main__":
    # A kernel that has no such option answers any other number in the same way.
    inbound._SO_PASSRIGHTS = int(sys.argv[4]) if len(sys.argv) > 4 else inbound._SO_PASSRIGHTS
    trio.run(main, sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
