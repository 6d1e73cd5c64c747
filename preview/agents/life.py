"""Tools for the life of a preview: launch, wait, change, stop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from preview.agents.connection import current
from preview.agents.parameters import Files, GenerationId, Seconds
from preview.agents.untrusted import Answer, word
from preview.client.asynchronous import AsyncPreview
from preview.client.models import PreviewStatus

Env = Annotated[dict[str, str], Field(max_length=200, description="Variables of this launch.")]
Folder = Annotated[str, Field(max_length=4096, description="Folder of the project, absolute or relative to the root.")]

_NEXT = "`endpoints` lists its routes, `request` calls one."
_NOTHING = "Name a folder, files, or the generation_id of files that are uploaded already."


async def launch(
    files: Files | None = None,
    generation_id: GenerationId | None = None,
    name: Annotated[str | None, Field(max_length=200, description="Name for people.")] = None,
    env: Env | None = None,
    wait_s: Seconds = 60,
) -> Answer:
    """Start a backend from its files in a sandbox; answers when it is healthy, or with the reason why not.

    Give `files`, or the `generation_id` of files that are uploaded already.

    Cancellation: the upload or the preview may remain.
    """
    if files is None and generation_id is None:
        raise ToolError(_NOTHING)
    return await _launch(files, generation_id, name, env, wait_s)


async def launch_folder(
    folder: Folder | None = None,
    files: Files | None = None,
    generation_id: GenerationId | None = None,
    name: Annotated[str | None, Field(max_length=200, description="Name for people.")] = None,
    env: Env | None = None,
    wait_s: Seconds = 60,
) -> Answer:
    """Start a backend in a sandbox; answers when it is healthy, or with the reason why not.

    Give the project's `folder`, its `files`, or the `generation_id` of files that are uploaded already.

    Cancellation: the upload or the preview may remain.
    """
    if folder is None and files is None and generation_id is None:
        raise ToolError(_NOTHING)
    source = files if folder is None else current.get().folder(folder)
    return await _launch(source, generation_id, name, env, wait_s)


async def _launch(
    source: Mapping[str, str] | Path | None,
    generation_id: str | None,
    name: str | None,
    env: Mapping[str, str] | None,
    wait_s: float,
) -> Answer:
    connection = current.get()
    if generation_id is not None:
        if source is not None:
            raise ToolError("Give either files or generation_id; `reload` changes the files of a generation.")
        preview = connection.preview(generation_id)
        await preview.start(env=env, wait=wait_s)
    else:
        preview = await connection.client.launch(source or {}, name=name, env=env, wait=wait_s)
    connection.keep_token(preview)
    return await _state(preview, Answer())


async def wait(generation_id: GenerationId, seconds: Seconds = 60) -> Answer:
    """Wait until a preview is healthy.

    Cancellation: nothing changes.
    """
    preview = current.get().preview(generation_id)
    await preview.wait_ready(seconds)
    return await _state(preview, Answer())


async def status(generation_id: GenerationId) -> Answer:
    """Show state, health, memory, processor, launch steps and limits that were reached.

    Cancellation: nothing changes.
    """
    preview, answer = current.get().preview(generation_id), Answer()
    found = await preview.status()
    _say_status(answer, generation_id, found)
    steps = [f"{one.name}: {one.state}" + (f", {one.detail}" if one.detail else "") for one in found.steps]
    answer.quote("launch steps", steps, rest="there are many.")
    answer.quote("limits that were reached", [f"{one.limit}: {one.message}" for one in found.reached], rest="…")
    return answer


async def reload(
    generation_id: GenerationId,
    files: Files | None = None,
    remove: Annotated[list[str] | None, Field(max_length=2_000, description="Paths to remove.")] = None,
) -> Answer:
    """Change files; the running preview takes them over and keeps its address. Other files stay as they are.

    Cancellation: the files may have been changed.
    """
    return await _reload(generation_id, files or {}, remove)


async def reload_folder(
    generation_id: GenerationId,
    folder: Folder | None = None,
    files: Files | None = None,
    remove: Annotated[list[str] | None, Field(max_length=2_000, description="Paths to remove.")] = None,
) -> Answer:
    """Change files; the running preview takes them over and keeps its address.

    `files` are written, and others stay. `folder` replaces all files by those of the folder.

    Cancellation: the files may have been changed.
    """
    return await _reload(generation_id, files or {} if folder is None else current.get().folder(folder), remove)


async def _reload(generation_id: str, source: Mapping[str, str] | Path, remove: list[str] | None) -> Answer:
    answer = Answer()
    if not source and not remove:
        raise ToolError("Give files to write, or paths to remove.")
    found = await current.get().preview(generation_id).reload(source, tuple(remove or ()))
    answer.say(f"version: {found.version}", f"changed: {len(found.changed)}, removed: {len(found.removed)}")
    effect = found.reload
    if effect.status == "reloaded":
        answer.say(f"The preview serves the new files, after {effect.elapsed_ms:.0f} ms.")
    elif effect.status == "none" and not found.changed and not found.removed:
        answer.say("The files are unchanged: nothing was done.")
    elif effect.status == "none":
        answer.say("No preview is running; call `launch` with this generation_id.")
    else:
        answer.say("The preview did not start with the new files. The previous process still serves the old ones.")
    if effect.error is not None:
        answer.say(f"code: {word(effect.error.code)}")
        answer.quote("reason", effect.error.detail.splitlines(), rest="`why` has all of it.", share=0.4)
        lines = effect.error.details.get("last_lines")
        shown = [str(one) for one in lines] if isinstance(lines, list) else []
        answer.quote("last lines", shown, rest="`logs` has all of them.", newest=True)
    return answer


async def stop(generation_id: GenerationId) -> Answer:
    """Stop a preview; its processes, port and temporary files are gone then. The uploaded files stay.

    Cancellation: it may have been stopped.
    """
    answer = Answer()
    await current.get().preview(generation_id).stop()
    answer.say("It is stopped.")
    return answer


async def previews(limit: Annotated[int, Field(ge=1, le=100)] = 20) -> Answer:
    """List your newest previews with their generation ids.

    Cancellation: nothing changes.
    """
    answer = Answer()
    found = (await current.get().client.previews(limit)).previews
    answer.say(*(f"{one.generation_id} {one.status} {one.health} {one.id}" for one in found))
    if not found:
        answer.say("There are none; `launch` starts one.")
    return answer


async def _state(preview: AsyncPreview, answer: Answer) -> Answer:
    found = await preview.status()
    _say_status(answer, preview.generation_id, found)
    if found.status == "running":
        answer.say(_NEXT)
    elif found.status == "starting":
        answer.say("`wait` waits until it is healthy.")
    return answer


def _say_status(answer: Answer, generation_id: str, found: PreviewStatus) -> None:
    facts: dict[str, Any] = {
        "generation_id": generation_id,
        "preview_id": found.id,
        "status": found.status,
        "health": found.health,
        "base_url": found.base_url,
        "memory_mb": found.memory_usage_mb,
        "cpu_percent": found.cpu_usage_percent,
        "exit_code": found.exit_code,
    }
    answer.say(*(f"{name}: {value}" for name, value in facts.items() if value is not None))
    if found.checks:
        answer.quote("last run of checks", [found.checks], rest="…")
    if found.reason:
        answer.quote("reason", found.reason.splitlines(), rest="`why` has all of it.", share=0.4)
