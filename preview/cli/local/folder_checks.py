"""Checks of a folder's application, which runs in this process for that time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from preview.cli.client import LOCAL_USER
from preview.cli.exits import CommandFailed
from preview.cli.local.running import hurried_by_signals
from preview.core.lifecycle import State
from preview.generations import FolderGenerations
from preview.http.contracts.replay import ChecksRunShape
from preview.proxy import PreviewClient, ProxyRequest, ProxyResponse, open_preview_client
from preview.replay.checks import CheckFile, read_checks
from preview.replay.checks.running import check_preview
from preview.service import open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview, User

_GENERATION = "folder"


async def run_folder_checks(settings: Settings, folder: Path, content: bytes) -> dict[str, Any] | None:
    """Launch the folder, run its checks, and stop it. Returns None if a signal ended the command.

    All checks run on this one preview, which begins with empty data.

    Args:
        settings: Settings of this command's own service.
        folder: The backend.
        content: The checks file.

    Raises:
        PreviewError: The launch was refused, the preview failed, or the file cannot be read.

    Cancellation: the preview is torn down within the stop budget.
    """
    file = read_checks(content)
    if not file.checks:
        raise CommandFailed("The file has no checks.")
    with trio.CancelScope() as asked:
        async with hurried_by_signals(asked.cancel):
            return await _run(settings, folder, file)
    return None


async def _run(settings: Settings, folder: Path, file: CheckFile) -> dict[str, Any]:
    source = FolderGenerations(folder, generation_id=_GENERATION, user_id=LOCAL_USER, project_id="local")
    async with open_service(settings, generations=source) as service, open_preview_client(settings) as client:
        launched = await service.previews.launch(LaunchRequest(User(LOCAL_USER, "enterprise"), _GENERATION))
        preview = service.previews.find(launched.record.id)
        if preview is None:
            raise CommandFailed("The preview has ended.")
        await preview.settled.wait()
        if preview.record.state is not State.RUNNING:
            raise preview.cause
        send = _Sender(client)
        found = await check_preview(preview, file.checks, send, settings.proxy_body_bytes, allow_changes=True)
        return ChecksRunShape.of(found).model_dump(mode="json")


class _Sender:
    """Sends requests to a preview, without records of them."""

    def __init__(self, client: PreviewClient) -> None:
        self._client = client

    async def __call__(self, preview: LivePreview, asked: ProxyRequest) -> ProxyResponse:
        if preview.address is None:
            raise preview.cause
        return await self._client.send(preview.address, asked)
