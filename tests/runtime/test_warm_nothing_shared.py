"""Two programs of one template: nothing of one is found by the other, and nothing of either by the template."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import Any

import psutil
import pytest
from runtime_fixtures import starter
from runtime_kit import Start, read_line, sandbox_or_skip
from runtime_warm import KeptTemplate, open_texts

from preview.runtime import bind_in_range, child_subreaper
from preview.runtime.kernel import proctree

# Leaves something of each kind, then waits.
LEAVE = """
import builtins, json, logging, os, random, signal, sys, tempfile, time, warnings
builtins.left = json.left = sys.modules['left'] = 'here'
os.environ['LEFT'] = 'here'
sys.path.insert(0, '/left')
os.umask(0o77)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
random.seed(1)
logging.getLogger('left').setLevel(1)
warnings.simplefilter('error')
for folder in ('/tmp', '/dev/shm'):
    open(folder + '/left', 'w').close()
descriptor = os.open('/tmp/left', os.O_RDONLY)
os.dup2(descriptor, 50)
os.setpriority(os.PRIO_PROCESS, 0, 5)
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
os.chdir('/tmp')
print('left', flush=True)
time.sleep(600)
"""
# Tells what is there of it, and what nobody else may have.
LOOK = """
import builtins, json, logging, os, random, resource, secrets, signal, sys, tempfile, uuid, warnings
print(json.dumps({
    'found': [name for name, there in {
        'builtins': hasattr(builtins, 'left'),
        'module state': hasattr(json, 'left'),
        'module': 'left' in sys.modules,
        'variable': 'LEFT' in os.environ,
        'sys.path': '/left' in sys.path,
        'umask': os.umask(0o22) == 0o77,
        'signal handler': signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN,
        'signal mask': signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        'logging': logging.getLogger('left').level == 1,
        'warnings': any(one[0] == 'error' for one in warnings.filters),
        'temporary file': os.path.exists('/tmp/left'),
        'shared memory': os.path.exists('/dev/shm/left'),
        'descriptor': os.path.exists('/proc/self/fd/50'),
        'priority': os.getpriority(os.PRIO_PROCESS, 0) == 5,
        'limits': resource.getrlimit(resource.RLIMIT_NOFILE) == (100, 100),
        'folder': os.getcwd() == '/tmp',
    }.items() if there],
    'random': [random.random(), random.SystemRandom().random(), random.Random().random()],
    'names': [next(tempfile._get_candidate_names()), uuid.uuid4().hex, uuid.uuid1().hex, secrets.token_hex()],
    'stack': os.urandom(8).hex(),
    'processes': [name for name in os.listdir('/proc') if name.isdecimal()],
    'directory': os.getcwd(),
}), flush=True)
"""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[tuple[socket.socket, Path]]]:
    """Two previews' sockets and folders."""
    with ExitStack() as stack:
        made = []
        for name in ("one", "other"):
            listener = stack.enter_context(bind_in_range("127.0.0.1", 20_000, 32_000))
            (tmp_path / name).mkdir(mode=0o700)
            made.append((listener, tmp_path / name))
        yield made


@pytest.fixture
async def starts(kept_template: KeptTemplate, two: list[tuple[socket.socket, Path]]) -> AsyncIterator[list[Start]]:
    """Start programs in each of both."""
    with child_subreaper():
        async with open_texts(sandbox_or_skip(), kept_template) as warm:
            yield [starter(warm, listener, project) for listener, project in two]


async def looked(start: Start) -> dict[str, Any]:
    async with start(LOOK) as process:
        found: dict[str, Any] = json.loads(await read_line(process))
    return found


async def test_what_one_program_leaves_another_that_starts_meanwhile_does_not_find(starts: list[Start]) -> None:
    async with starts[0](LEAVE) as process:
        assert await read_line(process) == "left"
        assert (await looked(starts[1]))["found"] == []


async def test_what_one_program_leaves_another_that_starts_after_it_does_not_find(starts: list[Start]) -> None:
    async with starts[0](LEAVE) as process:
        assert await read_line(process) == "left"
    assert (await looked(starts[1]))["found"] == []


async def test_no_number_or_name_that_has_to_be_random_comes_twice(starts: list[Start]) -> None:
    seen = [await looked(start) for start in starts]
    for kind in ("random", "names"):
        both = [*seen[0][kind], *seen[1][kind]]
        assert len(set(both)) == len(both)


async def test_programs_see_themselves_alone(starts: list[Start]) -> None:
    async with starts[0](LEAVE) as process:
        await read_line(process)
        assert (await looked(starts[1]))["processes"] == ["1", "2"]


async def test_a_program_finds_nothing_of_the_templates_own(starts: list[Start]) -> None:
    look = (
        "import json, os, sys; own = [one for one in sys.modules if one.startswith('preview_')]; "
        "print(json.dumps([own, sorted(vars(sys.modules['__main__'])), sys.argv, os.environ.get('HOME')]), flush=True)"
    )
    async with starts[0](look) as process:
        own, names, argv, home = json.loads(await read_line(process))
    assert own == []
    assert not {"cage", "main", "preview_fresh"} & set(names)
    assert argv == ["-c"]
    assert home is None


async def test_the_seed_of_hashes_is_the_templates(starts: list[Start]) -> None:
    """Documented: whoever needs one of its own starts cold (PYTHONHASHSEED)."""
    seen = []
    for start in starts:
        async with start("print(hash('text'), flush=True)") as process:
            seen.append(await read_line(process))
    assert seen[0] == seen[1]


async def test_others_see_which_service_a_fork_is_of_and_its_program_does_not(starts: list[Start]) -> None:
    text = f"import os, time; print({proctree.SERVICE_MARKER!r} in os.environ, flush=True); time.sleep(600)"
    async with starts[0](text) as process:
        assert await read_line(process) == "False"
        leader = psutil.Process(process.identity.pid)
        above = takewhile(lambda one: one.pid != os.getpid(), leader.parents())
        # Others' templates, as of a service that another test started, are of another service.
        found = [Path(f"/proc/{one.pid}") for one in (*above, leader, *leader.children(recursive=True))]
        forks = [one for one in found if b"/preview_template.py" in (one / "cmdline").read_bytes()]
        # The keeper, the template, and the fork's two.
        assert len(forks) >= 4
        marker = f"{proctree.SERVICE_MARKER}={os.getpid()}".encode()
        assert [one for one in forks if marker not in (one / "environ").read_bytes().split(b"\0")] == []
