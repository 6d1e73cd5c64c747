"""Containers that do not keep to the rules, engines that fail, and what is left of either."""

from __future__ import annotations

import errno
import gc
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import child_programs as programs
import pytest
import trio
from engine_kit import end_engine, engine_or_skip, engine_pid, is_gvisor, start_or_skip
from runtime_containers import containers_or_skip
from runtime_kit import INTERPRETER, LIMITS, PYTHON, open_descriptors, read_all, read_line

from preview.backing.interface import CLIENT_SOCKETS
from preview.core.isolation import Isolation
from preview.errors import ConfigurationError, LaunchFailed
from preview.runtime import Exit, ProcessSpec, Refusal, child_subreaper, open_ladder
from preview.runtime.container import ContainerRuntime, Engine, description, engine_socket, starting
from preview.runtime.container.joining import Door, Joined, NotJoined, Order, open_door
from preview.runtime.container.probe import open_containers, probe_containers
from preview.runtime.interface import Held
from preview.runtime.isolation_levels import PlainRuntime, _further
from preview.runtime.kernel import proctree
from preview.settings import Settings


@pytest.fixture
def containers() -> Iterator[ContainerRuntime]:
    made = containers_or_skip()
    with child_subreaper():
        yield made


def spec_of(project: Path, program: str = programs.SLEEP) -> ProcessSpec:
    return ProcessSpec(
        "preview_test",
        [*PYTHON, program],
        project,
        {},
        None,
        LIMITS,
        readable=INTERPRETER,
        writable=(project,),
        slot=20_001,
    )


@pytest.fixture
def first_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Containers begin with a hostile program; returns the file that says with which."""
    folder = tmp_path / "first"
    folder.mkdir(mode=0o755)
    script = shutil.copy(Path(__file__).parent / "hostile_joins" / "preview_hostile_join.py", folder)
    monkeypatch.setattr(description, "JOIN", Path(script))
    return folder / "which"


async def left(containers: ContainerRuntime) -> list[str]:
    parts = containers._parts
    return await parts.engine.labelled(f"preview.data={parts.habits.data}")


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("never", "has not joined within"),
        ("silent", "has not joined within"),
        ("over", "ended before it joined: exit code 9"),
        ("loud", "ended before it joined: the library \\?\\[31m is missing"),
        ("garbage", "does not keep to the rules"),
        ("descriptors", "does not keep to the rules|ended before it joined"),
    ],
)
async def test_a_container_that_does_not_join_is_a_failed_launch_and_leaves_nothing(
    containers: ContainerRuntime,
    first_program: Path,
    project: Path,
    which: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if which in ("never", "silent"):
        monkeypatch.setattr(starting, "_JOIN_S", 1.0)
    await trio.Path(first_program).write_text(which)
    before = open_descriptors()
    with trio.fail_after(60), pytest.raises(LaunchFailed, match=said):
        async with containers.open_process(spec_of(project)):
            pass
    assert open_descriptors() <= before
    assert await left(containers) == []


async def test_a_container_that_joins_often_is_let_in_once_at_most(
    containers: ContainerRuntime, first_program: Path, project: Path
) -> None:
    await trio.Path(first_program).write_text("twice")
    with trio.fail_after(60), suppress(LaunchFailed):
        async with containers.open_process(spec_of(project)) as process:
            assert not list(containers._parts.doors.glob("*/join"))
            assert await process.stop(0.05) == Exit(signal=signal.SIGKILL)
    assert await left(containers) == []


async def test_an_exit_status_that_no_process_has_counts_as_a_kill(
    containers: ContainerRuntime, first_program: Path, project: Path
) -> None:
    if is_gvisor():
        pytest.skip("its first program makes no sockets: see test_gvisor")
    await trio.Path(first_program).write_text("liar")
    with trio.fail_after(60):
        async with containers.open_process(spec_of(project)) as process:
            assert await process.wait() == Exit(signal=signal.SIGKILL)


async def nobody() -> int:
    await trio.lowlevel.checkpoint()
    return 0


async def test_a_process_outside_of_the_container_is_not_let_in(tmp_path: Path) -> None:
    with open_door(tmp_path / "door", Door) as door:
        others = []
        for _ in range(8):
            other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            other.connect(str(door.folder / "join"))
            others.append(other)
        with trio.fail_after(10), pytest.raises(NotJoined, match="another process answers"):
            await door.admit("0" * 64, nobody)
        for other in others:
            other.close()
    assert not (tmp_path / "door").exists()


async def test_the_program_cannot_trace_the_first_process_or_take_its_descriptors(
    containers: ContainerRuntime, project: Path
) -> None:
    if is_gvisor():
        pytest.skip("gVisor's first process may be killed by its program: see test_gvisor")
    look = """
import os
for path in ('/proc/1/fd/1', '/proc/1/mem', '/proc/1/environ'):
    try:
        os.readlink(path) if '/fd/' in path else open(path, 'rb').read(1)
        print('open', path)
    except OSError as error:
        print(error.errno)
os.kill(1, 9)
print('alive', flush=True)
"""
    with trio.fail_after(60):
        async with containers.open_process(spec_of(project, look)) as process:
            assert (await read_all(process)).split() == ["13", "13", "13", "alive"]
            assert await process.wait() == Exit(code=0)


async def test_folders_that_programs_of_the_service_are_shown_elsewhere_hide_nothing(
    containers: ContainerRuntime, project: Path, tmp_path: Path
) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    (sockets / "one").touch()
    look = f"import os; print(os.listdir('{CLIENT_SOCKETS}'))"
    with trio.fail_after(60):
        spec = replace(spec_of(project, look), writable=(project, sockets), shown_at={Path(CLIENT_SOCKETS): sockets})
        async with containers.open_process(spec) as process:
            assert await read_all(process) == "['one']\n"


async def test_memory_that_is_used_up_is_told_as_the_reason(containers: ContainerRuntime, project: Path) -> None:
    if "memory" not in containers.holds():
        pytest.skip("this engine limits no memory")
    limits = replace(LIMITS, memory_bytes=64 * 2**20)
    with trio.fail_after(60):
        spec = replace(spec_of(project, "print('up', flush=True); x = bytearray(200 * 2**20)"), limits=limits)
        async with containers.open_process(spec) as process:
            assert await process.wait() == Exit(signal=signal.SIGKILL)
            assert process.excess().killed_for_memory >= 1


async def test_variables_and_arguments_are_not_told_to_the_engines_other_users(
    containers: ContainerRuntime, project: Path
) -> None:
    spec = replace(spec_of(project), environment={"PASSWORD": "hunter2"})
    with trio.fail_after(60):
        async with containers.open_process(spec) as process:
            assert await read_line(process) == "up"
            engine = containers._parts.engine
            (container,) = await left(containers)
            told = str(await engine._call("GET", f"/containers/{container}/json"))
    assert "hunter2" not in told
    assert "PASSWORD" not in told


async def test_a_descriptor_is_closed_once_if_the_order_cannot_be_given(
    containers: ContainerRuntime, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_gvisor():
        pytest.skip("gVisor gets its order in another way: see test_gvisor")

    async def fail(_joined: Joined, _order: Order) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Joined, "command", fail)
    with trio.fail_after(60):
        try:
            async with containers.open_process(spec_of(project)):
                pytest.fail("it was started")
        except LaunchFailed:
            # While the exception holds the stream, its number is taken again.
            taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    gc.collect()
    for one in taken:
        os.close(one)


@pytest.mark.parametrize("held", [{"cpu"}, {"memory", "processes"}])
def test_where_kernel_limits_are_required_nobody_gets_a_container_without(held: set[Held], tmp_path: Path) -> None:
    class Containers(PlainRuntime):
        def holds(self) -> frozenset[Held]:
            return frozenset(held)

    for isolation in (Isolation.REQUIRE, Isolation.AUTO):
        settings = Settings(data_dir=tmp_path, isolation=isolation)
        further = _further(settings, PlainRuntime(None), None, Containers(None))
        assert ("container" in further) is (isolation is Isolation.AUTO or "memory" in held)


async def test_a_cancelled_launch_leaves_no_container(containers: ContainerRuntime, project: Path) -> None:
    before = open_descriptors()
    for pause_s in (0.0, 0.005, 0.03, 0.08, 0.15):
        with trio.move_on_after(pause_s):
            async with containers.open_process(spec_of(project)):
                await trio.sleep_forever()
    assert await left(containers) == []
    assert open_descriptors() <= before


async def test_containers_of_an_earlier_run_are_removed_and_no_others(tmp_path: Path, project: Path) -> None:
    engine = engine_or_skip()
    mine, others = (
        Settings(data_dir=tmp_path / name, container_engine=f"unix://{engine}", isolation=Isolation.CONTAINER)
        for name in ("mine", "others")
    )
    with child_subreaper(), trio.fail_after(60):
        for one in (mine, others):
            one.data_dir.mkdir()
        made = [
            runtime for one in (mine, others) if isinstance(runtime := await probe_containers(one), ContainerRuntime)
        ]
        (tmp_path / "passwd").touch()
        names = []
        for runtime in made:
            parts = runtime._parts
            body = description.describe_container(parts.habits, spec_of(project), "65534:65534", 64, tmp_path)
            names.append(await parts.engine.create(f"left-{parts.habits.data}", body))
        async with open_ladder(mine) as ladder:
            assert ladder.runtime.name == "container"
            assert [rung.name for rung in ladder.rungs if rung.holds][-1] == "containers"
            assert await left(made[0]) == []
            assert await left(made[1]) == [names[1]]
        async with open_containers(others, frozenset(), None):
            assert await left(made[1]) == []


@pytest.fixture
def engine_of_its_own() -> Iterator[Path]:
    """The folder of an engine that may be killed."""
    engine_or_skip()
    if os.geteuid() != 0:
        pytest.skip("the tests' own engine is started by root")
    # Paths of an engine's sockets have 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="preview-engine-"))
    held = start_or_skip(folder)
    yield folder
    end_engine(folder, held)


async def test_a_preview_ends_although_its_engine_was_killed(
    engine_of_its_own: Path, tmp_path: Path, project: Path
) -> None:
    socket_path, kept = engine_of_its_own / "s", tmp_path / "data"
    kept.mkdir()
    settings = Settings(data_dir=kept, container_engine=f"unix://{socket_path}")
    with child_subreaper(), trio.fail_after(60):
        runtime = await probe_containers(settings)
        assert isinstance(runtime, ContainerRuntime)
        async with runtime.open_process(spec_of(project)) as process:
            assert await read_line(process) == "up"
            os.kill(engine_pid(engine_of_its_own) or 0, signal.SIGKILL)
            assert (await process.usage()).processes == 1
            assert await process.stop(5) == Exit(signal=signal.SIGTERM)
        assert not proctree.is_alive(process.identity)
        with pytest.raises(LaunchFailed, match="no engine answers"):
            async with runtime.open_process(spec_of(project)):
                pass


async def test_an_image_without_a_shell_is_refused_with_a_sentence(tmp_path: Path) -> None:
    engine = Engine(engine_or_skip())
    with trio.fail_after(60), child_subreaper():
        await engine.import_image("preview-test-empty:latest", tar_of())
        settings = Settings(
            data_dir=tmp_path, container_engine=f"unix://{engine.path}", container_image="preview-test-empty:latest"
        )
        found = await probe_containers(settings)
    assert isinstance(found, Refusal)
    assert "No such file or directory" in found.reason


async def test_an_image_that_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, container_engine=f"unix://{engine_or_skip()}", container_image="preview-test-none:1"
    )
    found = await probe_containers(settings)
    assert isinstance(found, Refusal)
    assert "has no image preview-test-none:1" in found.reason


async def test_without_an_engine_nothing_is_launched_and_the_reason_is_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, container_engine=f"unix://{tmp_path}/none", isolation=Isolation.CONTAINER)
    with child_subreaper(), pytest.raises(ConfigurationError, match="no engine answers at"):
        async with open_ladder(settings):
            pass
    async with open_ladder(settings, check=False) as ladder:
        assert [rung.holds for rung in ladder.rungs if rung.name == "containers"] == [False]


def test_the_engines_socket_is_the_operators_or_a_usual_one(tmp_path: Path) -> None:
    usual = [tmp_path / "none", tmp_path / "file", tmp_path / "s"]
    usual[1].touch()
    assert engine_socket("auto", usual) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(usual[2]))
        assert engine_socket("auto", usual) == usual[2]
    assert engine_socket("off", usual) is None
    assert engine_socket("unix:///run/x.sock") == Path("/run/x.sock")
    for wrong in ("tcp://127.0.0.1:2375", "unix://run/x.sock", "/run/x.sock", "unix://", ""):
        with pytest.raises(ConfigurationError, match="PREVIEW_CONTAINER_ENGINE"):
            engine_socket(wrong)


async def test_an_image_without_python_and_libraries_of_this_machine_runs_its_own_programs(
    tmp_path: Path, project: Path, listener: socket.socket
) -> None:
    engine = Engine(engine_or_skip())
    name = "preview-test-shell:latest"
    with trio.fail_after(60), child_subreaper():
        await engine.import_image(name, tar_of("/bin/sh"))
        settings = Settings(data_dir=tmp_path, container_engine=f"unix://{engine.path}", container_image=name)
        runtime = await probe_containers(settings)
        assert isinstance(runtime, ContainerRuntime), runtime
        spec = ProcessSpec(
            "preview_test",
            [
                "/bin/sh",
                "-c",
                "echo /usr/* /bin/*; echo $LD_LIBRARY_PATH; exit 7",
            ],
            project,
            {},
            listener,
            LIMITS,
            writable=(project,),
            # So a bridge runs in it too.
            port=8080,
            slot=listener.getsockname()[1],
        )
        async with runtime.open_process(spec) as process:
            assert (await read_all(process)).splitlines() == ["/usr/* /bin/sh", ""]
            assert await process.wait() == Exit(code=7)


def tar_of(*programs: str) -> bytes:
    """An image with these programs alone, and what they need."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("empty")
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
        for program in programs:
            needed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
            for one in (program, *(word for word in needed.split() if word.startswith("/"))):
                archive.add(os.path.realpath(one), one)
    return packed.getvalue()
