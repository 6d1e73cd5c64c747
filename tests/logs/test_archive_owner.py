"""An archive belongs to one service: foreign files stay, a second service is refused, and silence holds up nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing
from archive_kit import Logs
from log_room import make_settings
from sqlalchemy import delete

from preview.errors import ConfigurationError, DatabaseUnavailable
from preview.logs import LogWriter
from preview.logs.archive import readers
from preview.logs.archive.archive import Archive
from preview.logs.archive.owner import MARK
from preview.logs.archive.place import Folder, name_of, place_at
from preview.logs.archive.readers import ArchiveReaders
from preview.logs.storage import archived as archived_module
from preview.logs.storage.archived import ArchivedLogs, find_archive
from preview.logs.storage.archiving import archive_one, archive_round, sweep
from preview.storage import prepare
from preview.storage.database import open_database
from preview.storage.tables import preview_instances, service_facts

OTHER = name_of("preview_other")


def folder_of(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def _deep(folder: Path) -> None:
    (folder / MARK).write_bytes(b"[" * 900)


def _large(folder: Path) -> None:
    (folder / MARK).write_bytes(b'{"archive_of": "' + b"0" * 10_000_000)


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / MARK)


@pytest.mark.parametrize("spoil", [_deep, _large, _pipe])
async def test_a_mark_that_is_none_is_not_this_services(
    logs: Logs, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = folder_of(tmp_path)
    (folder / OTHER).write_bytes(b"theirs")
    (folder / MARK).unlink()
    spoil(folder)
    with trio.fail_after(20):
        with pytest.raises(ConfigurationError, match="belongs to another service"):
            await logs.archived.claim()
        with pytest.raises(DatabaseUnavailable, match="no mark"):
            await sweep(logs.archived)
    assert (folder / OTHER).exists()


async def test_a_second_service_is_refused_at_its_start_and_removes_nothing(logs: Logs, tmp_path: Path) -> None:
    await archive_one(logs.archived, logs.preview_id)
    configured = make_settings(tmp_path, archive=str(folder_of(tmp_path)))
    async with open_database(f"sqlite:///{tmp_path / 'second.db'}", 60) as second:
        await prepare(second)
        with pytest.raises(ConfigurationError, match="choose a folder, or a bucket's prefix, for this service alone"):
            await find_archive(configured, second)
    # The same database again: a restart, or another service on it.
    again = await find_archive(configured, logs.database)
    assert again is not None
    assert again.is_claimed
    assert (folder_of(tmp_path) / name_of(logs.preview_id)).exists()


async def test_files_of_unknown_previews_without_a_mark_are_not_taken_over(logs: Logs, tmp_path: Path) -> None:
    await archive_one(logs.archived, logs.preview_id)
    (folder_of(tmp_path) / MARK).unlink()
    (folder_of(tmp_path) / OTHER).write_bytes(b"theirs")
    with pytest.raises(ConfigurationError, match="not in this database"):
        await logs.archived.claim()
    assert not (folder_of(tmp_path) / MARK).exists()
    (folder_of(tmp_path) / OTHER).unlink()
    # Only own files, from before archives had marks.
    await logs.archived.claim()
    assert await logs.archived.is_own()


async def test_without_the_mark_nothing_is_written_or_removed(logs: Logs, tmp_path: Path) -> None:
    """A disk that is not mounted looks like an empty folder."""
    await logs.database.write(
        lambda connection: connection.execute(preview_instances.update().values(status="stopped"))
    )
    (folder_of(tmp_path) / MARK).unlink()
    configured = make_settings(tmp_path, archive_after_s=0.001)
    with pytest.raises(DatabaseUnavailable, match="mounted"):
        await archive_round(logs.archived, configured, LogWriter(logs.database, configured))
    assert await logs.stored() == len(logs.rows)
    assert list(folder_of(tmp_path).iterdir()) == []


async def test_old_drafts_are_removed_and_new_ones_and_others_stay(logs: Logs, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    old, new, foreign = (folder / f".{name}.new" for name in (OTHER, name_of("preview_new"), "mine.jsonl.zst"))
    for one in (old, new, foreign):
        one.touch()
    for one in (old, foreign):
        os.utime(one, (0, 0))
    await sweep(logs.archived)
    assert [one.exists() for one in (old, new, foreign)] == [False, True, True]


async def test_a_bucket_has_a_mark_too(logs: Logs, bucket: str) -> None:
    archived = ArchivedLogs(logs.database, Archive(place_at(bucket)))
    await archived.claim()
    await archived.claim()
    assert await archived.is_own()
    await logs.database.write(lambda connection: connection.execute(delete(service_facts)))
    with pytest.raises(ConfigurationError, match="belongs to another service"):
        await ArchivedLogs(logs.database, Archive(place_at(bucket))).claim()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngarbage", b"\x00" * 2000])
async def test_a_store_that_answers_garbage_or_nothing_does_not_stop_a_start(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(archived_module, "_CLAIM_S", 0.5)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    for name, value in (("ENDPOINT_URL", address), ("ACCESS_KEY_ID", "k"), ("SECRET_ACCESS_KEY", "s"), ("REGION", "r")):
        monkeypatch.setenv(f"AWS_{name}", value)

    async def lie(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if not answer:
            await trio.sleep_forever()
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, lie, listeners)
        with trio.fail_after(20), structlog.testing.capture_logs() as said:
            found = await find_archive(make_settings(tmp_path, archive="s3://logs/previews"), logs.database)
        nursery.cancel_scope.cancel()
    assert found is not None
    assert not found.is_claimed
    assert [one["event"] for one in said] == ["archive not marked yet"]
    with pytest.raises(DatabaseUnavailable, match="no mark"):
        await sweep(found)


async def test_stuck_reads_of_one_user_hold_up_no_other_user(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, stuck, started = ArchiveReaders(), threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        started.release()
        stuck.wait(60)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(reading.run, "ann", wait)
            for _ in range(2):
                await trio.to_thread.run_sync(started.acquire)
            assert await reading.run("ben", lambda: 7) == 7
            # Given up: what is stuck stays counted, so that a third one does not start.
            nursery.cancel_scope.cancel()
        monkeypatch.setattr(readers, "_READ_S", 0.05)
        with pytest.raises(DatabaseUnavailable, match="too long"):
            await reading.run("ann", wait)
        assert not started.acquire(blocking=False)
        stuck.set()
        monkeypatch.setattr(readers, "_READ_S", 20)
        assert await reading.run("ann", lambda: 8) == 8


async def test_users_of_the_same_file_are_told_apart(logs: Logs) -> None:
    await archive_one(logs.archived, logs.preview_id)
    assert await logs.archived.has(logs.preview_id)
    assert logs.archived._known[logs.preview_id] == (0, "u")


def test_a_folder_that_is_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "deep")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Folder(tmp_path / "link")


async def test_a_store_that_fails_is_asked_once_more_and_not_ten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's end waits for it."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    for name, value in (("ENDPOINT_URL", address), ("ACCESS_KEY_ID", "k"), ("SECRET_ACCESS_KEY", "s"), ("REGION", "r")):
        monkeypatch.setenv(f"AWS_{name}", value)
    asked = 0

    async def fail(stream: trio.SocketStream) -> None:
        nonlocal asked
        async for part in stream:
            asked += part.count(b"\r\n\r\n")
            await stream.send_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")

    place = place_at("s3://logs/previews")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, fail, listeners)
            with pytest.raises(DatabaseUnavailable):
                await trio.to_thread.run_sync(place.size, "preview_a.jsonl.zst")
            nursery.cancel_scope.cancel()
    assert asked == 2
