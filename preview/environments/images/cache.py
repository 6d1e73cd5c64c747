"""Images by the content of their projects: built by the engine when they are missing, and removed when they are old."""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

import structlog
import trio

from preview.environments.folders.environment import Environment, EnvironmentRequest, How, Report
from preview.environments.folders.image_source import BuiltImage, ImageSource
from preview.environments.images.context import DOCKERFILE, pack_context
from preview.environments.images.dockerfile import MOST_BYTES, Recipe, read_dockerfile
from preview.environments.images.output import BadOutput, BuildOutput
from preview.errors import EnvironmentFailed
from preview.runtime.container import ContainerRuntime, EngineError
from preview.runtime.container.images import BuildLimits, Images
from preview.settings import Settings

_log = structlog.get_logger(__name__)

_PIECE_BYTES: Final = 256 * 1024
_MOST_OUTPUT: Final = 256 * 1024 * 1024
_WATCH_S: Final = 2.0
_SILENCE_S: Final = 4.0
_MOST_WORDS: Final = 300
_MOST_VARIABLES: Final = 500
_MOST_VOLUMES: Final = 16
_FOLDER: Final = re.compile(r"(?:/[A-Za-z0-9._@-]{1,100}){1,20}/?")
_PORT: Final = re.compile(r"([0-9]{1,5})(?:/tcp)?")


class ImageCache:
    """Images of projects with a Dockerfile.

    Args:
        settings: The settings ``image_*``, ``images_*`` and those of builds.
        images: The engine's images.
    """

    def __init__(self, settings: Settings, images: Images) -> None:
        self._settings = settings
        self._images = images
        self._used: dict[str, float] = {}
        self._leased: Counter[str] = Counter()
        # One at a time: two builds of the same content would do the same work, and each takes much memory.
        self._turn = trio.Lock()

    @asynccontextmanager
    async def open_environment(self, request: EnvironmentRequest, report: Report) -> AsyncIterator[Environment]:
        """Provide the image of a project; build it if the engine does not have it.

        Args:
            request: ``image`` names the Dockerfile.
            report: Called with each line of the build and its severity.

        Raises:
            EnvironmentFailed: The build failed; the message has the reason.

        Cancellation: a running build ends.
        """
        assert request.image is not None, "the plan has chosen an image"  # noqa: S101
        started = trio.current_time()
        try:
            name, how, described = await self._provide(request.project, request.image, report)
        except EngineError as error:
            raise EnvironmentFailed(f"The image cannot be built: {error}.", reason="engine") from error
        except OSError as error:
            raise EnvironmentFailed(
                f"The image cannot be built: the data folder cannot be written ({error.strerror}).", reason="disk"
            ) from error
        image = _built(described)
        with self._lease(name):
            yield Environment(
                directory=Path("/", "images", name),
                program=Path("/"),
                binaries=Path("/"),
                variables=image.variables,
                elapsed_s=trio.current_time() - started,
                how=how,
                language=f"image {image.name.removeprefix('sha256:')[:12]}",
                is_own=True,
                image=image,
            )

    @contextmanager
    def _lease(self, name: str) -> Iterator[None]:
        self._leased[name] += 1
        try:
            yield
        finally:
            self._leased[name] -= 1
            self._used[name] = time.time()

    async def _provide(
        self, project: Path, source: ImageSource, report: Report
    ) -> tuple[str, How, Mapping[str, object]]:
        recipe = await trio.to_thread.run_sync(_recipe, project, source, self._images.labels)
        for warning in recipe.warnings:
            report(warning, logging.WARNING)
        bases = await self._bases(recipe)
        with tempfile.TemporaryFile(dir=self._settings.data_dir) as packed:
            most = self._settings.image_context_bytes
            digest = await trio.to_thread.run_sync(partial(pack_context, project, recipe.text, packed, most))
            said = repr((digest, sorted(bases.items()), self._settings.image_network))
            name = self._images.name_of(hashlib.sha256(said.encode()).hexdigest())
            found = await self._images.inspect(name)
            if found is not None:
                return name, "cached", found
            async with self._turn:
                found = await self._images.inspect(name)
                if found is not None:
                    return name, "cached", found
                with self._lease(name):
                    failure: EnvironmentFailed | None = None
                    try:
                        await self._build(name, packed, report)
                    except EnvironmentFailed as error:
                        failure = error
                    found = await self._images.inspect(name)
                    # A failed build leaves layers too.
                    await self.evict()
                    if failure is not None:
                        raise failure
            if found is None:
                raise EnvironmentFailed("The image cannot be built: it is gone already.", reason="engine")
            return name, "built", found

    async def _bases(self, recipe: Recipe) -> dict[str, str]:
        """Return the ids of the images that the build needs; the engine must have each, as nothing is pulled."""
        found: dict[str, str] = {}
        for name in recipe.images:
            image = await self._images.inspect(name)
            if image is None:
                raise EnvironmentFailed(
                    f"The image cannot be built: the engine has no image {name}, and builds here fetch none. Ask the "
                    f"operator to pull or tag it, or use another one in FROM.",
                    reason="missing_image",
                    image=name,
                )
            if not _is_base(name, image, self._images.labels):
                raise EnvironmentFailed(
                    f"The image cannot be built: {name} is no image to build on. Name one by its repository and tag; "
                    "images of other projects, and those with ONBUILD, are refused.",
                    reason="missing_image",
                    image=name,
                )
            found[name] = str(image.get("Id"))
        return found

    async def _build(self, name: str, packed: IO[bytes], report: Report) -> None:
        """Build the image. Cancellation: the engine ends the build."""
        settings, output = self._settings, BuildOutput()
        limits = BuildLimits(
            settings.build_memory_mb << 20, settings.cpu_limit, settings.image_max_bytes, settings.image_network
        )
        failed: list[str] = []
        size = packed.seek(0, 2)
        packed.seek(0)
        limit_s = settings.environment_build_timeout_s
        with trio.move_on_after(limit_s) as scope:
            async with trio.open_nursery() as nursery:

                def end(reason: str) -> None:
                    failed.append(reason)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(self._watch, output, end)
                nursery.start_soon(_tell_while_silent, output, report)
                try:
                    async with self._images.open_build(name, DOCKERFILE, limits, size, _pieces(packed)) as pieces:
                        async for piece in pieces:
                            for line in output.feed(piece):
                                report(line, logging.INFO)
                            if output.size > _MOST_OUTPUT:
                                end(f"it prints more than {_MOST_OUTPUT >> 20} MiB")
                except BadOutput:
                    failed.append("the engine's answer is none of a build")
                except EngineError as error:
                    failed.append(str(error))
                for line in output.rest():
                    report(line, logging.INFO)
                nursery.cancel_scope.cancel()
        if scope.cancelled_caught:
            failed.append(f"it did not finish within {limit_s:g} s (PREVIEW_ENVIRONMENT_BUILD_TIMEOUT)")
        if reason := (failed or [output.error])[0]:
            raise EnvironmentFailed(_failure(reason, output.last), reason="image_build")

    async def _watch(self, output: BuildOutput, end: Callable[[str], None]) -> None:
        """End a build whose step writes too much. Cancellation: no effect."""
        most = self._settings.image_max_bytes
        while True:
            await trio.sleep(_WATCH_S)
            try:
                written = await self._images.written_bytes(output.container) if output.container else 0
            except (EngineError, OSError):
                continue
            if written > most:
                end(f"one of its steps writes more than {most >> 20} MiB (PREVIEW_IMAGE_MAX_BYTES)")
                return

    async def evict(self) -> int:
        """Remove the oldest images beyond the limits, but none in use; return their number.

        Raises:
            EngineError: No engine answers.

        Cancellation: some are removed.
        """
        stored = sorted(await self._images.stored(), key=lambda one: self._used.get(one.name, float(one.created)))
        total, count, removed = sum(one.size_bytes for one in stored), len(stored), 0
        for one in stored:
            if total <= self._settings.images_max_bytes and count <= self._settings.images_kept:
                break
            if self._leased[one.name] > 0 or not await self._images.remove(one):
                continue
            total, count, removed = total - one.size_bytes, count - 1, removed + 1
        if removed:
            _log.info("images removed", count=removed)
        return removed


async def find_images(settings: Settings, runtimes: Iterable[object]) -> ImageCache | None:
    """Return the images of the engine that one of the runtimes has; None if there is none, or builds are off.

    Removes the oldest images beyond the limits.

    Args:
        settings: See ``ImageCache``.
        runtimes: Runtimes that launches may get.

    Cancellation: some images are removed.
    """
    containers = next((one for one in runtimes if isinstance(one, ContainerRuntime)), None)
    if containers is None or not settings.image_builds:
        return None
    images = ImageCache(settings, containers.images)
    try:
        await images.evict()
    except (EngineError, OSError) as error:
        _log.warning("images not removed", error=str(error))
    return images


def _is_base(name: str, image: Mapping[str, object], own: Mapping[str, str]) -> bool:
    """Return whether a project may build on an image: it is asked for by name, not by id, and no service built it."""
    config = image.get("Config")
    about = config if isinstance(config, dict) else {}
    labels, triggers = about.get("Labels") or {}, about.get("OnBuild")
    names = [*_texts(image.get("RepoTags")), *_texts(image.get("RepoDigests"))]
    full = name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"
    return full in names and not triggers and not own.keys() & dict(labels).keys()


def _recipe(project: Path, source: ImageSource, labels: Mapping[str, str]) -> Recipe:
    path = project / source.dockerfile
    # A message may quote the file: no link may lead out of the project. Nobody writes there meanwhile.
    is_own = path.is_file() and path.resolve() == project.resolve() / source.dockerfile
    content = path.read_bytes()[: MOST_BYTES + 1] if is_own and path.stat().st_size <= MOST_BYTES else None
    if content is None:
        raise EnvironmentFailed(
            f"{source.dockerfile} is no file of the project with {MOST_BYTES >> 10} KiB at most.",
            reason="dockerfile",
            path=source.dockerfile,
        )
    return read_dockerfile(content.decode("utf-8", "replace"), source.dockerfile, labels)


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await trio.to_thread.run_sync(file.read, _PIECE_BYTES):
        yield piece


async def _tell_while_silent(output: BuildOutput, report: Report) -> None:
    """Report every few seconds without output that the build goes on. Runs until cancelled."""
    began = trio.current_time()
    while True:
        seen = output.size
        await trio.sleep(_SILENCE_S)
        if output.size == seen:
            report(f"build of the image: {trio.current_time() - began:.0f} s so far", logging.INFO)


def _failure(reason: str, last: Sequence[str]) -> str:
    words = " ".join(reason.split())[:_MOST_WORDS].rstrip(".")
    said = f"; its last line: {last[-1][:_MOST_WORDS]}" if last else ""
    return f"The image could not be built: {words}{said}."


def _built(described: Mapping[str, object]) -> BuiltImage:
    """Return the image from the engine's description, whose values come from the project."""
    config = described.get("Config")
    config = config if isinstance(config, dict) else {}
    variables = dict(one.split("=", 1) for one in _texts(config.get("Env"))[:_MOST_VARIABLES] if "=" in one)
    ports = [int(found[1]) for one in _keys(config.get("ExposedPorts")) if (found := _PORT.fullmatch(one))]
    port = variables.get("PORT", "")
    return BuiltImage(
        name=str(described.get("Id")),
        argv=(*_texts(config.get("Entrypoint")), *_texts(config.get("Cmd"))),
        variables=variables,
        directory=str(config.get("WorkingDir") or "/"),
        port=int(port) if port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536 else _first_port(ports),
        volumes=tuple(one for one in _keys(config.get("Volumes")) if _FOLDER.fullmatch(one) and ".." not in one)[
            :_MOST_VOLUMES
        ],
    )


def _first_port(ports: Sequence[int]) -> int | None:
    return min((one for one in ports if 0 < one < 65536), default=None)


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _keys(value: object) -> list[str]:
    return sorted(one for one in value if isinstance(one, str)) if isinstance(value, dict) else []
