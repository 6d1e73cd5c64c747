"""kill -9 of the service: the next start makes machine and database agree before it answers."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import trio
from structlog.testing import capture_logs
from supervisor_kit import ANN, SERVER, LightRuntime, MemorySource, open_rig

from preview.core.lifecycle import State
from preview.errors import ConfigurationError
from preview.logs import Batch, End
from preview.runtime.kernel import proctree
from preview.service import open_service
from preview.settings import Settings
from preview.storage import PreviewStore, open_database

# A helper in a session of its own, which the kernel does not end with the leader.
WITH_DAEMON = (
    """
import os
if os.fork() == 0:
    os.setsid()
    import time
    time.sleep(600)
"""
    + SERVER
)
_SERVICE = """
import structlog, sys, trio
sys.path.insert(0, {kit!r})
from supervisor_kit import *
from preview.settings import Settings
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
async def main():
    settings = Settings(data_dir={data!r}, cache_dir={cache!r}, port_min={low}, port_max={high})
    async with open_rig(settings) as rig:
        preview = await rig.running({behave!r})
        await rig.service.previews._context.store.update(preview.record)
        await rig.service.previews._context.writer.flush(preview.id)
        print(preview.id, preview.record.pid, preview.log.last_seq, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


async def killed_service(settings: Settings) -> tuple[str, int, int]:
    """Run a service in a process of its own, launch, kill -9 it; the preview's id, its pid and its last line."""
    code = _SERVICE.format(
        kit=str(Path(__file__).parent),
        data=str(settings.data_dir),
        cache=str(settings.cache_dir),
        low=settings.port_min,
        high=settings.port_max,
        behave=WITH_DAEMON,
    )
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    text = b""
    while b"preview_" not in text or not text.endswith(b"\n"):
        text += await process.stdout.receive_some()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await process.stdout.aclose()
    preview_id, pid, last_seq = text.decode().splitlines()[-1].split()
    return preview_id, int(pid), int(last_seq)


async def test_after_kill_9_processes_folders_and_rows_agree(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    preview_id, pid, last_seq = await killed_service(settings)
    daemons = proctree.marked({preview_id})
    assert daemons, "the helper outlives the service: that is what the next start is for"
    async with open_rig(settings) as rig:
        assert proctree.marked({preview_id}) == []
        assert not [one for one in psutil.process_iter() if one.pid == pid and one.status() != "zombie"]
        assert not await trio.Path(settings.data_dir / "previews" / preview_id).exists()
        assert not await trio.Path(settings.resolved_db_path / preview_id).exists()
        record = await rig.service.previews.get(preview_id)
        assert record.state is State.FAILED
        assert "ended unexpectedly" in str(record.reason)
        numbers = []
        with rig.service.previews.open_log(record) as log:
            received = await log.receive()
            while not isinstance(received[-1], End):
                received.extend(await log.receive())
            numbers = [line.seq for batch in received if isinstance(batch, Batch) for line in batch.lines]
        assert numbers == list(range(1, last_seq + 1))


async def test_another_services_rows_are_left_alone(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    settings = make_settings(database_url=url)
    async with open_rig(settings) as rig:
        preview = await rig.running()
        elsewhere = replace(preview.record, id="preview_elsewhere", directory="/somewhere/else/preview_elsewhere")
        await rig.service.previews._context.store.insert(elsewhere)
    async with open_service(settings, generations=MemorySource(), runtime=LightRuntime()) as service:
        assert (await service.previews.get("preview_elsewhere")).state is State.RUNNING


async def test_a_pid_that_the_kernel_gave_to_somebody_else_is_spared(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    async with open_rig(settings) as rig:
        preview = await rig.running()
        await rig.service.previews.stop("g1")
    bystander = await trio.lowlevel.open_process([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
    try:
        async with open_database(settings.resolved_database_url) as database:
            await PreviewStore(database).insert(
                replace(preview.record, id="preview_crashed", state=State.RUNNING, pid=bystander.pid)
            )
        async with open_rig(settings) as rig:
            assert (await rig.service.previews.get("preview_crashed")).state is State.FAILED
        assert bystander.poll() is None
    finally:
        bystander.kill()
        with trio.CancelScope(shield=True):
            await bystander.wait()


async def test_a_preview_that_was_stopping_has_stopped(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    async with open_rig(settings) as rig:
        await rig.running()
        record = await rig.service.previews.stop("g1")
    async with open_database(settings.resolved_database_url) as database:
        await PreviewStore(database).insert(replace(record, id="preview_crashed", state=State.STOPPING))
    async with open_rig(settings) as rig:
        assert (await rig.service.previews.get("preview_crashed")).state is State.STOPPED


async def test_two_services_on_one_data_folder_are_refused(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    async with open_rig(settings) as rig:
        await rig.running()
        with pytest.raises(ConfigurationError, match="in use by another service"):
            async with open_service(settings):
                pytest.fail("opened twice")
        assert rig.service.previews.require("g1").record.user_id == ANN.id


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that others may read, and that is not the service's alone."""
    (tmp_path / "somebody's").touch()
    tmp_path.chmod(0o755)
    return tmp_path


async def test_a_data_folder_that_is_open_to_others_and_cannot_be_closed_is_said_once(
    make_settings: Callable[..., Settings], open_folder: Path
) -> None:
    with capture_logs() as told:
        async with open_service(make_settings(data_dir=open_folder)):
            pass
    assert [one["path"] for one in told if "open to others" in one["event"]] == [str(open_folder)]


async def test_a_data_folder_that_cannot_be_made_is_said(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="set PREVIEW_DATA_DIR"):
        async with open_service(make_settings(data_dir=tmp_path / "file" / "data")):
            pytest.fail("opened")
