"""Changes of files that wait for their preview."""

from __future__ import annotations

import gc
import weakref
from typing import cast

import trio
import trio.testing

from preview.core.clock import utc_now
from preview.core.lifecycle import State
from preview.errors import DatabaseUnavailable
from preview.generations import Edit, Edited, Generation, GenerationLibrary
from preview.http.edits import FileEdits
from preview.supervisor import FilesChange, PreviewManager, User

ANN = User("ann", "pro")


class Contents(dict[str, bytes]):
    """Which a weak reference can be had to."""


class Library:
    """Keeps nothing: all that is sent is new."""

    async def edit(self, generation_id: str, edit: Edit, *, note: object = None, expected: object = None) -> Edited:
        await trio.lowlevel.checkpoint()
        made = Generation(generation_id, project_id="p", user_id="ann", created_at=utc_now())
        return Edited(made, edit.written, ())

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        return Generation(generation_id, project_id="p", user_id="ann", created_at=utc_now(), revision=2)


class ForgetfulLibrary(Library):
    """Its database is away for the first reading."""

    def __init__(self) -> None:
        self.reads = 0
        self.versions = self

    async def note_failed_reload(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()

    async def read_files(self, _generation_id: str, paths: list[str]) -> dict[str, bytes]:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        if self.reads == 1:
            raise DatabaseUnavailable("The database does not answer; try again in a moment.")
        return dict.fromkeys(paths, b"two")


class RunningPreview:
    """A preview that runs; it is the manager and the row, too."""

    id = "preview_x"
    generation_id = "g1"
    state = State.RUNNING

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.settled.set()
        self.record = self
        self.all_active = {self.id: self}
        self.brought: list[list[str]] = []

    def active(self, _generation_id: str) -> RunningPreview:
        return self

    async def reload(self, _user: User, _generation_id: str, files: FilesChange) -> None:
        await trio.lowlevel.checkpoint()
        self.brought.append(sorted(files.written))


class StartingPreview:
    """Its preview starts, and does so for ever; it is the manager, too."""

    def __init__(self) -> None:
        self.settled = trio.Event()

    def active(self, _generation_id: str) -> StartingPreview:
        return self


async def test_what_is_stored_is_not_kept_in_memory_until_the_preview_has_it(nursery: trio.Nursery) -> None:
    edits = FileEdits(nursery, cast("GenerationLibrary", Library()), cast("PreviewManager", StartingPreview()))
    contents = Contents({"main.py": b"two"})
    held = weakref.ref(contents)
    async with trio.open_nursery() as caller:
        caller.start_soon(edits.save, ANN, "g1", Edit(contents))
        await trio.testing.wait_all_tasks_blocked()
        # Whoever sent it has gone away; the change waits on.
        caller.cancel_scope.cancel()
    del contents
    gc.collect()
    assert held() is None


async def test_what_could_not_be_read_is_kept_all_the_same_and_brought_with_the_next_change(
    nursery: trio.Nursery,
) -> None:
    preview = RunningPreview()
    edits = FileEdits(nursery, cast("GenerationLibrary", ForgetfulLibrary()), cast("PreviewManager", preview))
    first = await edits.save(ANN, "g1", Edit({"one.py": b"two"}))
    assert first.reload.status == "failed"
    assert isinstance(first.reload.error, DatabaseUnavailable)
    second = await edits.save(ANN, "g1", Edit({"other.py": b"two"}))
    assert second.reload.status == "reloaded"
    assert preview.brought == [["one.py", "other.py"]]
