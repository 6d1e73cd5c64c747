"""Endpoints of a folder's application, which runs in this process for the time that it takes to ask it."""

from __future__ import annotations

from pathlib import Path

import trio

from preview.cli.client import LOCAL_USER
from preview.cli.exits import CommandFailed
from preview.cli.local.running import hurried_by_signals
from preview.core.lifecycle import State
from preview.endpoints import Listing
from preview.generations import FolderGenerations
from preview.http.endpoint_book import EndpointBook
from preview.proxy import open_preview_client
from preview.service import open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, User

_GENERATION = "folder"


async def ask_application(settings: Settings, folder: Path) -> Listing | None:
    """Launch the folder, return its endpoints, and stop it. Returns None if a signal ended the command.

    Raises:
        PreviewError: The launch was refused or the preview failed; the message is the reason.

    Cancellation: the preview is torn down within the stop budget.
    """
    with trio.CancelScope() as asked:
        async with hurried_by_signals(asked.cancel):
            return await _ask(settings, folder)
    return None


async def _ask(settings: Settings, folder: Path) -> Listing:
    source = FolderGenerations(folder, generation_id=_GENERATION, user_id=LOCAL_USER, project_id="local")
    async with (
        open_service(settings, generations=source) as service,
        open_preview_client(settings) as client,
    ):
        launched = await service.previews.launch(LaunchRequest(User(LOCAL_USER, "enterprise"), _GENERATION))
        preview = service.previews.find(launched.record.id)
        if preview is None:
            raise CommandFailed("The application ended before it was ready; `preview run DIR` shows its output.")
        await preview.settled.wait()
        if preview.record.state is not State.RUNNING:
            raise preview.cause
        book = EndpointBook(service.generations, client, service.reader)
        return await book.find(await source.get(_GENERATION), preview)
