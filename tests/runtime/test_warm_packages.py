"""Packages whose import does what it should not, in the template: programs start all the same, as isolated as ever."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from runtime_kit import none_but, open_descriptors, read_line
from runtime_warm import Environment, make_environment, open_warm, settled

from preview.runtime import SandboxRuntime, child_subreaper
from preview.runtime.kernel import proctree
from preview.runtime.warm.command import TEMPLATE

FORK_AND_HIDE = """
import os, time
if os.fork() == 0:
    os.setsid()
    os.fork()
    time.sleep(600)
import preview_imports
preview_imports.unsafe = lambda held: None
"""
ENTER_LOUDLY = """
import preview_cage
def enter(user):
    raise OSError('\\x1b]0;owned\\x07\\n\\ud800')
preview_cage.enter = enter
"""
CONTROL = "import os, socket, sys; control = socket.socket(fileno=int(sys.argv[1])); "
NUMBERS = """control.send(b'{"imported": Infinity, "loaded": [], "reads": {}, "rss": 1}'); control.detach()"""
# Each is imported in the template. What comes of it: whether the program is forked, and what is said where not.
PACKAGES = {
    "prints": ("import os; os.write(1, b'noise'); os.write(2, b'noise'); print('noise')", "started warm"),
    "raises": ("raise RuntimeError('not today')", "started warm"),
    "asks_to_exit": ("raise SystemExit(3)", "started warm"),
    "threads": (
        "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "started warm",
    ),
    "forks": ("import os, time\nif os.fork() == 0:\n    time.sleep(600)", "started warm"),
    "forks_and_hides": (FORK_AND_HIDE, "a package of it starts a process"),
    "keeps_a_socket": ("import socket; kept = socket.socket()", "started warm"),
    "shares_memory": ("import mmap; shared = mmap.mmap(-1, 4096)", "started warm"),
    "writes_files": ("open('/tmp/planted', 'w').close(); open('/dev/shm/planted', 'w').close()", "started warm"),
    "exits": ("import os; os._exit(0)", "started warm"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "started warm"),
    "hangs": ("import time; time.sleep(600)", "started warm"),
    "is_too_large": ("held = b'x' * (300 << 20)", "its template takes"),
    "sends_rubbish": (CONTROL + "control.send(b'\\xff'); control.detach()", "sent an unknown message"),
    "sends_depth": (CONTROL + "control.send(b'[' * 100_000); control.detach()", "sent an unknown message"),
    "sends_numbers": (CONTROL + NUMBERS, "sent an unknown message"),
    "closes_its_socket": ("import os, sys; os.close(int(sys.argv[1]))", "started warm"),
    "replaces_fork": ("import os; os.fork = lambda: 0", "started cold"),
    "forks_no_application": ("import os\ntrue = os.fork\nos.fork = lambda: true() or 1", "started cold"),
    "leaves_out_the_cage": (
        "import preview_cage; preview_cage.confine = lambda limits, program: None",
        "the fork was ended",
    ),
    "leaves_out_the_filter": (
        "import preview_calls; preview_calls.filter_calls = lambda program: None",
        "the fork was ended",
    ),
    "keeps_capabilities": (
        "import preview_calls; preview_calls.drop_capabilities = lambda *keep: None",
        "the fork was ended",
    ),
    "stays_where_it_is": ("import preview_cage; preview_cage.enter = lambda user: None", "started cold"),
    "becomes_nobody_else": (
        "import os\nos.setresuid = os.setresgid = lambda *ids: None\nos.setgroups = lambda ids: None",
        # An ordinary user has no other users to give.
        "started cold" if os.geteuid() == 0 else "started warm",
    ),
    "says_what_acts_on_terminals": (ENTER_LOUDLY, "started cold"),
}
LOOK = """
import json, os, time
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(json.dumps([int(status['CapEff'], 16), status['Seccomp'].strip(), os.getuid(), os.listdir('/dev/shm'),
      [name for name in os.listdir('/proc') if name.isdecimal()], os.listdir('/tmp')]), flush=True)
# Until it is ended: the service looks at it from outside, and what has ended by then is not looked at.
time.sleep(600)
"""


@pytest.fixture
async def nothing_of_templates() -> AsyncIterator[None]:
    """When the warm runtime is closed nothing is left of it."""
    before, others = open_descriptors(), set(proctree.descendants(os.getpid()))
    with child_subreaper():
        yield
    await none_but(others)
    assert open_descriptors() <= before


def environment(folder: Path, name: str) -> Environment:
    return make_environment(folder / f"environment-{name}", {name: PACKAGES[name][0], "harmless": ""})


@pytest.mark.long
@pytest.mark.parametrize("name", PACKAGES)
async def test_a_program_starts_whatever_a_package_does_and_is_held_in(
    sandbox_here: SandboxRuntime, nothing_of_templates: None, project: Path, tmp_path: Path, name: str
) -> None:
    told: list[str] = []
    spec = environment(tmp_path, name).spec(LOOK, project, told)
    with trio.fail_after(60):
        async with open_warm(sandbox_here, timeout_s=3) as warm:
            await settled(warm, spec)
            async with warm.open_process(spec) as process:
                text = await read_line(process)
    *held, temporary = json.loads(text)
    assert held == [0, "2", 1000, [], ["1", "2"]]
    # What leads to folders that are shown, where these lie in there.
    shown = (path for path in (*spec.readable, project, TEMPLATE) if path.is_relative_to("/tmp"))
    assert set(temporary) <= {path.parts[2] for path in shown}
    (sentence,) = told
    assert PACKAGES[name][1] in sentence
    assert sentence.isprintable()
