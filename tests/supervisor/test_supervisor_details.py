"""What is found out about a program that does not come up: its servers, its sockets, its own modules."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from structlog.testing import capture_logs

from preview.core.lifecycle import State
from preview.detection import ServiceKind, ServiceNeed
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.runtime import Excess, RunningProcess, Usage
from preview.settings import Settings
from preview.supervisor.diagnosis import diagnose_network as elsewhere_module
from preview.supervisor.diagnosis import needs as needs_module
from preview.supervisor.diagnosis.diagnose_network import find_wrong_port
from preview.supervisor.diagnosis.diagnosis import Diagnosis
from preview.supervisor.diagnosis.exits import name_own_module
from preview.supervisor.diagnosis.needs import find_unanswered
from preview.supervisor.life import watch
from preview.supervisor.limits.limits import watch_usage
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.probe import Answer


@dataclass
class Record:
    pid: int | None = None
    port: int | None = None
    health_path: str | None = None


@dataclass
class Log:
    said: list[str] = field(default_factory=list)

    def say(self, line: str, _level: Level = Level.INFO) -> None:
        self.said.append(line)


def preview(record: Record, log: Log | None = None) -> LivePreview:
    """As much of one as is looked at."""
    log = log or Log()
    parts = SimpleNamespace(record=record, log=log, any_answer=True, listener=socket.socket(), inner=None, reach=None)
    parts.listener.close()
    return cast("LivePreview", parts)


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def test_only_servers_that_take_no_connection_are_named(listener: socket.socket) -> None:
    with listener, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens there
        answers = ServiceNeed(ServiceKind.REDIS, None, "a", address=listener.getsockname())
        silent = ServiceNeed(ServiceKind.REDIS, None, "b", address=bound.getsockname())
        unknown = ServiceNeed(ServiceKind.REDIS, None, "c")
        assert await find_unanswered([answers, silent, unknown]) == [silent]


async def test_a_server_that_lets_wait_does_not_answer(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs_module, "_CONNECT_S", 0)
    with listener:
        need = ServiceNeed(ServiceKind.REDIS, None, "a", address=listener.getsockname())
        assert await find_unanswered([need]) == [need]


async def test_a_program_that_listens_elsewhere_is_told_where(listener: socket.socket) -> None:
    with listener:
        port = listener.getsockname()[1]
        found = await find_wrong_port(preview(Record(os.getpid(), 1)))
        assert found is not None
        assert found.reason == "port_in_use"
        assert "but requests are sent to 1." in found.message
        assert await find_wrong_port(preview(Record(os.getpid(), port))) is None


@pytest.fixture
def two_that_hold_it(listener: socket.socket) -> Iterator[None]:
    held, command = (listener.fileno(),), ["/bin/sleep", "600"]
    with subprocess.Popen(command, pass_fds=held) as one, subprocess.Popen(command, pass_fds=held) as other:
        yield
        one.kill()
        other.kill()


@pytest.mark.usefixtures("two_that_hold_it")
async def test_a_network_is_read_once_however_many_processes_are_in_it(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading costs the kernel milliseconds: with a hundred previews starting it took most of two cores."""
    read: list[int] = []
    list_sockets = elsewhere_module._listening_in

    def count(pid: int) -> Iterator[tuple[int, int]]:
        read.append(pid)
        return list_sockets(pid)

    monkeypatch.setattr(elsewhere_module, "_listening_in", count)
    with listener:
        assert await find_wrong_port(preview(Record(os.getpid(), 1))) is not None
    # Each process below this one that is in a network of its own (a template that tests keep) is another.
    assert read[0] == os.getpid()
    assert len({Path(f"/proc/{pid}/ns/net").readlink() for pid in read}) == len(read)  # noqa: ASYNC240


@pytest.mark.parametrize("record", [Record(), Record(2**22 + 1, 80), Record(None, 80)])
async def test_a_program_that_is_gone_listens_nowhere(record: Record) -> None:
    assert await find_wrong_port(preview(record)) is None


@pytest.mark.parametrize(
    ("path", "answer", "sentence"),
    [
        ("/health", Answer("/", 200), "GET /health does not respond, but GET / does: the server is running"),
        (
            "/health",
            Answer("/health", 503),
            "GET /health returns 503: the server is running, but something that it needs is missing",
        ),
        (None, Answer("/", 500), "GET / returns 500: the server is running, but its first page fails"),
    ],
)
async def test_what_the_first_answer_means_is_told(path: str | None, answer: Answer, sentence: str) -> None:
    log = Log()
    watch._take(preview(Record(), log), answer, path)
    assert log.said == [sentence]


async def test_a_misspelt_module_of_the_projects_own_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "models.py").write_text("")
    found = Diagnosis("missing_module", "x", {"module": "shop.model"})
    frame = f'  File "{tmp_path}/main.py", line 3, in <module>'
    named = name_own_module(found, [frame, '  File "/usr/lib/x.py", line 1', "Error"], tmp_path)
    assert named.message.startswith("main.py line 3 imports 'shop.model', which the project does not have")
    assert named.message.endswith("did you mean 'shop.models'?")
    far = name_own_module(Diagnosis("missing_module", "x", {"module": "shop.zzz"}), ["Error"], tmp_path)
    assert far.message.startswith("The project imports 'shop.zzz'")
    assert name_own_module(Diagnosis("missing_module", "x", {"module": "gone.zzz"}), [], tmp_path).message == "x"
    # A name that projects give to a module of their own, often one that is kept out of version control.
    own = name_own_module(Diagnosis("missing_module", "x", {"module": "config"}), [frame, "Error"], tmp_path)
    assert (
        own.message
        == "main.py line 3 imports 'config', which the project does not have. Add it, or correct the import."
    )


async def test_a_traceback_does_not_make_the_service_name_files_outside_of_the_project(tmp_path: Path) -> None:
    project, victim = tmp_path / "project", tmp_path / "victim"
    for folder in (project, victim):
        folder.mkdir()
    (victim / "Secret_Plan.py").write_text("")
    (project / "link").symlink_to(victim)
    found = Diagnosis("missing_module", "x", {"module": "secret_plan"})
    for path in (f"{project}/../victim/x.py", f"{project}/link/x.py"):
        assert name_own_module(found, [f'  File "{path}", line 1, in f', "Error"], project) == found


async def test_a_project_that_cannot_be_read_says_nothing_of_a_missing_module(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    for module in ("ring.model", f"{'x' * 300}.model", "nul\0.model"):
        found = Diagnosis("missing_module", "x", {"module": module})
        assert name_own_module(found, [], tmp_path) == found


class Process:
    """What it uses cannot be measured at first, and is too much then."""

    def __init__(self) -> None:
        self._answers: list[Usage | OSError] = [OSError(24, "Too many open files"), Usage(3 * 2**20, 0.0, 1)]

    async def usage(self) -> Usage:
        await trio.lowlevel.checkpoint()
        answer = self._answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def resident_bytes(self) -> int | None:
        return None

    def excess(self) -> Excess:
        return Excess()


@pytest.mark.parametrize(
    ("look", "sentence"),
    [
        (
            partial(watch_usage, is_step=True),
            "stopped: a step used more than 2 MB of memory: raise PREVIEW_MEMORY_LIMIT_MB, or reduce its memory use",
        ),
        (
            watch_usage,
            "stopped: used more than 2 MB of memory: raise PREVIEW_MEMORY_LIMIT_MB, or reduce its memory use",
        ),
    ],
)
async def test_what_uses_too_much_memory_is_stopped_after_a_look_that_failed(
    look: Callable[[LivePreview, RunningProcess, Settings], Awaitable[None]], sentence: str
) -> None:
    log = Log()
    failed: list[str] = []
    with capture_logs() as logs, trio.fail_after(60), trio.CancelScope() as scope:

        def fail(error: LaunchFailed) -> None:
            failed.append(error.message)
            scope.cancel()

        stand_in = SimpleNamespace(
            id="p",
            log=log,
            fail=fail,
            usage=None,
            take_usage=lambda usage: None,
            outcome=None,
            confinement=None,
            record=SimpleNamespace(state=State.RUNNING),
        )
        settings = SimpleNamespace(memory_limit_mb=2, usage_interval_s=0)
        await look(cast("LivePreview", stand_in), cast("RunningProcess", Process()), cast("Settings", settings))
    assert log.said == failed == [sentence]
    assert [one["error"] for one in logs] == ["[Errno 24] Too many open files"]
