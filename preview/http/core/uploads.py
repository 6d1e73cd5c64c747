"""Receive an uploaded generation: JSON, or an archive in a form, into a bounded temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import IO

import trio
from quart import Request
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData, Preamble

from preview.core.quoting import quoted
from preview.errors import InvalidRequest
from preview.generations import GenerationLimits, GenerationSource, parse_files_json
from preview.http.core.bodies import GenerationBody, file_contents
from preview.http.core.reading import body_pieces, may_be_json_in_a_form, read_json, wrong_media_type
from preview.settings import Settings
from preview.worker import ProjectReader

# For field names and the project's name, not for its content.
_FORM_TEXT_BYTES = 16 * 1024
_FORM_PARTS = 16
# A thread writes larger content to disk in one go; for smaller content, memory is cheaper than a thread.
_SPOOL_BYTES = 1024 * 1024
_SLICE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """Checked upload.

    Attributes:
        project_id: The project of the upload; None creates one.
        name: Name for people; may be empty.
        files: Content by relative path.
    """

    project_id: str | None
    name: str
    files: Mapping[str, bytes]


@dataclass(slots=True)
class _Form:
    """The parts of a form that were read so far."""

    archive: IO[bytes]
    texts: dict[str, bytearray] = field(default_factory=dict)
    has_archive: bool = False
    current: Field | File | None = None
    parts: int = 0

    def text(self, name: str) -> str:
        try:
            return bytes(self.texts.get(name, b"")).decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"The form field {quoted(name)} is not UTF-8 text.", field=name) from error


async def read_upload(request: Request, settings: Settings, reader: ProjectReader) -> Upload:
    """Return the upload of the current request.

    Args:
        request: The current request.
        settings: Provides the limits.
        reader: Unpacks an archive.

    Raises:
        InvalidRequest, InvalidGeneration, TooLarge, AnalysisFailed: The upload is unusable; nothing is stored.
        UnsupportedMediaType: The content is neither JSON nor a form.

    Cancellation: nothing is stored.
    """
    if request.mimetype == "multipart/form-data":
        return await _read_form(request, settings, reader)
    if request.mimetype and request.mimetype != "application/json" and not may_be_json_in_a_form(request):
        raise wrong_media_type(request.mimetype, further=", or an archive as multipart/form-data")
    # Base64 and escapes make JSON longer than its content, which is checked when it is unpacked.
    body = await read_json(request, GenerationBody, limit_bytes=settings.upload_bytes)
    files = await trio.to_thread.run_sync(parse_files_json, file_contents(body.files), settings)
    return Upload(body.project_id, body.name, files)


async def _read_form(request: Request, settings: Settings, reader: ProjectReader) -> Upload:
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary or not boundary.isascii():
        raise InvalidRequest("The form has no boundary; let your HTTP client write the Content-Type header.")
    decoder = MultipartDecoder(boundary.encode(), max_form_memory_size=_SPOOL_BYTES, max_parts=_FORM_PARTS)
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES, prefix="preview-upload-") as archive:
        form = _Form(archive)
        # The archive has its own limit; the rest of the form is small.
        async with aclosing(body_pieces(request, settings.upload_bytes + _FORM_TEXT_BYTES)) as pieces:
            await _fill(form, decoder, pieces)
        if not form.has_archive:
            raise InvalidRequest("The form holds no file; send a zip or tar.gz as a file part.", field="archive")
        files = await reader.unpack(archive, GenerationLimits.of(settings))
    return Upload(form.text("project_id") or None, form.text("name"), files)


async def _fill(form: _Form, decoder: MultipartDecoder, pieces: AsyncIterator[bytes]) -> None:
    try:
        async for piece in pieces:
            # In slices, because one piece may exceed the decoder's buffer.
            for start in range(0, len(piece), _SLICE_BYTES):
                decoder.receive_data(piece[start : start + _SLICE_BYTES])
                if await _take_events(form, decoder):
                    return
        decoder.receive_data(None)
        await _take_events(form, decoder)
    except ValueError as error:
        raise InvalidRequest("The form is incomplete, or is not valid multipart/form-data.") from error


async def _take_events(form: _Form, decoder: MultipartDecoder) -> bool:
    """Process the decoder's events; return whether the form is complete."""
    while True:
        event = decoder.next_event()
        if isinstance(event, NeedData):
            return False
        if isinstance(event, Epilogue):
            return True
        await _take(form, event)


async def _take(form: _Form, event: Event) -> None:
    if isinstance(event, Preamble):
        return
    if isinstance(event, Field | File):
        form.parts += 1
        if isinstance(event, File) and form.has_archive:
            raise InvalidRequest("The form holds more than one file; send one archive.", field=event.name)
        form.has_archive |= isinstance(event, File)
        form.current = event
    elif isinstance(event, Data) and isinstance(form.current, File):
        await trio.to_thread.run_sync(form.archive.write, event.data)
    elif isinstance(event, Data) and form.current is not None:
        text = form.texts.setdefault(form.current.name, bytearray())
        text += event.data
        if len(text) > _FORM_TEXT_BYTES:
            raise InvalidRequest(f"The form field {quoted(form.current.name)} is too long.", field=form.current.name)


_REMOVAL_S = 10


@asynccontextmanager
async def open_files(source: GenerationSource, generation_id: str) -> AsyncIterator[Path]:
    """Provide a generation's files in a temporary folder.

    Raises:
        GenerationNotFound: The files are gone.

    Cancellation: the folder is removed, within a time limit.
    """
    directory = Path(await trio.to_thread.run_sync(partial(tempfile.mkdtemp, prefix="preview-files-")))
    try:
        await source.write_files(generation_id, directory)
        yield directory
    finally:
        with trio.move_on_after(_REMOVAL_S, shield=True):
            await trio.to_thread.run_sync(partial(rmtree, directory, ignore_errors=True))
