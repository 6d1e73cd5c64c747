"""Images by the content of their projects: built by the engine when they are missing, and removed when they are old."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Final

import structlog
import trio

from preview.environments.folders.environment import Environment, EnvironmentRequest, How, Report
from preview.environments.folders.image_source import BuiltBeside, BuiltImage
from preview.environments.images.building import build_image
from preview.environments.images.built import full_name, has_own_shell, has_volumes, is_base, read_built, with_source
from preview.environments.images.context import open_below, pack_context, read_small
from preview.environments.images.dockerfile import MOST_BYTES, Recipe, read_dockerfile
from preview.environments.images.files_image import FilesImages, pack_files
from preview.environments.images.left import removing_left
from preview.environments.images.network import NO_NETWORK, OpenNetwork, open_engines_network, open_index_network
from preview.environments.images.steps import OpenSteps, TriedSteps, limits_of_all, open_engines_group
from preview.environments.images.turns import BuildTurns
from preview.errors import EnvironmentFailed
from preview.runtime.cgroups import CgroupTree, open_engine_groups
from preview.runtime.container import ContainerRuntime, EngineError
from preview.runtime.container.builds import WHOLE_NAMES, podman_text
from preview.runtime.container.images import Images
from preview.settings import Settings
from preview.sources.image_source import Beside, ImageSource

_log = structlog.get_logger(__name__)

_NO_GROUPS: Final = (
    "Podman limits no number of a build's processes, and this service cannot do so: it needs root, and control groups "
    "of version 1 (docs/dockerfiles.md)"
)


class ImageCache:
    """Images of projects with a Dockerfile.

    Args:
        settings: The settings ``image_*``, ``images_*`` and those of builds.
        images: The engine's images.
        root: The engine's folder, as this machine shows it.
        open_network: Opens the network of a build.
        open_steps: Opens the group of a build's steps.
    """

    def __init__(
        self,
        settings: Settings,
        images: Images,
        root: Path,
        open_network: OpenNetwork = NO_NETWORK,
        open_steps: OpenSteps = open_engines_group,
    ) -> None:
        self._settings = settings
        self._open_network = open_network
        self._open_steps = open_steps
        self._images = images
        self._root = root
        self._used: dict[str, float] = {}
        self._leased: Counter[str] = Counter()
        self._turns = BuildTurns(settings.image_builds_at_once)
        self._files = FilesImages(images)
        # Names of images that are being built, with the builds that want each.
        self._wanted: dict[str, tuple[trio.Lock, Counter[None]]] = {}

    @asynccontextmanager
    async def open_environment(self, request: EnvironmentRequest, report: Report) -> AsyncIterator[Environment]:
        """Provide the image of a project; build it if the engine does not have it.

        Args:
            request: ``image`` names the Dockerfile, ``owner`` the user whose turn it is.
            report: Called with each line of the build and its severity.

        Raises:
            EnvironmentFailed: The build failed; the message has the reason.

        Cancellation: a running build ends.
        """
        assert request.image is not None, "the plan has chosen an image"  # noqa: S101
        started = trio.current_time()
        with ExitStack() as leases:
            name, how, image = await self._open(request, request.image, report, leases)
            beside = [
                one for each in request.image.beside if (one := await self._beside(request, each, report, leases))
            ]
            image = replace(image, beside=tuple(beside))
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

    async def _beside(
        self, request: EnvironmentRequest, one: Beside, report: Report, leases: ExitStack
    ) -> BuiltBeside | None:
        """Provide the image of a service beside the previewed one; None if there is none, which is reported."""

        def report_as_its_own(line: str, severity: int) -> None:
            report(f"{one.name} | {line}", severity)

        try:
            _, _, image = await self._open(request, one.source, report_as_its_own, leases)
        except EnvironmentFailed as error:
            report(f"not started: {one.name}; {error.message}", logging.WARNING)
            return None
        return BuiltBeside(one.name, image, one.environment, one.names)

    async def _open(
        self, request: EnvironmentRequest, source: ImageSource, report: Report, leases: ExitStack
    ) -> tuple[str, How, BuiltImage]:
        """Provide one image, and lease it.

        Raises:
            EnvironmentFailed: See ``open_environment``.

        Cancellation: a running build ends.
        """
        try:
            name, how, described = await self._provide(request, source, report)
        except EngineError as error:
            raise EnvironmentFailed(f"The image cannot be built: {error}.", reason="engine") from error
        except OSError as error:
            raise EnvironmentFailed(
                f"The image cannot be built: the data folder or the engine's cannot be used ({error.strerror}).",
                reason="disk",
            ) from error
        leases.enter_context(self._lease(name))
        return name, how, with_source(read_built(described), source)

    @contextmanager
    def _lease(self, name: str) -> Iterator[None]:
        self._leased[name] += 1
        try:
            yield
        finally:
            self._leased -= Counter([name])
            self._used[name] = time.time()

    async def _provide(
        self, request: EnvironmentRequest, source: ImageSource, report: Report
    ) -> tuple[str, How, Mapping[str, object]]:
        project = request.project
        recipe = await trio.to_thread.run_sync(_recipe, project, source, self._images.labels)
        for warning in recipe.warnings:
            report(warning, logging.WARNING)
        bases, names = await self._bases(recipe)
        with tempfile.TemporaryFile(dir=self._settings.data_dir) as packed:
            files, digest = await self._pack(project, source, recipe, names, packed)
            arguments = dict(sorted(source.arguments.items()))
            said = repr((digest, sorted(bases.items()), self._settings.image_network, arguments))
            name = self._images.name_of(hashlib.sha256(said.encode()).hexdigest())
            found = await self._images.inspect(name)
            if found is not None:
                return name, "cached", found
            async with self._only_one(name):
                found = await self._images.inspect(name)
                if found is not None:
                    return name, "cached", found
                # Without a program there is nothing that could use a network.
                network = self._open_network if recipe.runs else NO_NETWORK
                async with self._files.open_image(files):
                    return name, "built", await self._build(name, packed, arguments, network, request.owner, report)

    async def _pack(
        self, project: Path, source: ImageSource, recipe: Recipe, names: Mapping[str, str], packed: IO[bytes]
    ) -> tuple[bytes, str]:
        """Write what the build copies into a file; return its files with an image of their own, and the hash of all."""

        def pack() -> tuple[bytes, str]:
            files = pack_files(project, source.context, recipe.files) if recipe.files else b""
            text = recipe.with_files_image(self._images.full_name(self._files.name_of(files)))
            text = podman_text(text, names) if self._images.is_podman else text
            most_bytes, check = self._settings.image_context_bytes, trio.from_thread.check_cancelled
            return files, pack_context(project, source.context, text, packed, most_bytes, check)

        limit_s = self._settings.environment_build_timeout_s
        try:
            with trio.fail_after(limit_s):
                return await trio.to_thread.run_sync(pack)
        except trio.TooSlowError:
            raise EnvironmentFailed(
                f"The files for the image were not packed within {limit_s:g} s (PREVIEW_ENVIRONMENT_BUILD_TIMEOUT); "
                "shorten .dockerignore, or exclude folders with many files.",
                reason="dockerfile",
            ) from None

    @asynccontextmanager
    async def _only_one(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of one image: two builds of the same content would do the same work."""
        lock, wanted = self._wanted.setdefault(name, (trio.Lock(), Counter()))
        wanted[None] += 1
        try:
            async with lock:
                yield
        finally:
            wanted[None] -= 1
            if not wanted[None]:
                del self._wanted[name]

    async def _build(
        self,
        name: str,
        packed: IO[bytes],
        arguments: Mapping[str, str],
        network: OpenNetwork,
        owner: str,
        report: Report,
    ) -> Mapping[str, object]:
        def queued(running: int) -> None:
            report(f"the build of the image waits: {running} are running (PREVIEW_IMAGE_BUILDS_AT_ONCE)", logging.INFO)

        failure: EnvironmentFailed | None = None
        with self._lease(name):
            async with self._turns.open_turn(owner, queued):
                try:
                    await build_image(
                        self._images,
                        self._settings,
                        self._root,
                        name,
                        packed,
                        arguments,
                        network,
                        self._open_steps,
                        report,
                    )
                except EnvironmentFailed as error:
                    failure = error
                found = await self._images.inspect(name)
            # A failed build leaves layers too.
            await self.evict()
        if failure is not None:
            raise failure
        if found is None:
            raise EnvironmentFailed("The image cannot be built: it is gone already.", reason="engine")
        return found

    async def _bases(self, recipe: Recipe) -> tuple[dict[str, str], dict[str, str]]:
        """Return ids and whole names of the images that the build needs; the engine must have each: none is pulled."""
        found: dict[str, str] = {}
        names: dict[str, str] = {}
        for name in recipe.images:
            image = await self._images.inspect(name)
            if image is None:
                raise _bad_base(
                    f"the engine has no image {name}, and builds here fetch none. Ask the operator to pull or tag it, "
                    "or use another one in FROM",
                    name,
                )
            if not is_base(name, image, self._images.labels):
                raise _bad_base(
                    f"{name} is no image to build on. Name one by its repository and tag; images of other projects, "
                    "and those with ONBUILD, are refused",
                    name,
                )
            if recipe.runs and has_volumes(image):
                raise _bad_base(
                    f"{name} has volumes, and what RUN writes to these has no limit. Use an image without, or leave "
                    "out RUN",
                    name,
                )
            if name in recipe.own_shells and has_own_shell(image):
                raise _bad_base(
                    f"{name} has a SHELL of its own. Write that SHELL in the Dockerfile before the RUN that has a text",
                    name,
                )
            found[name] = str(image.get("Id"))
            whole = image.get(WHOLE_NAMES)
            names |= {name: whole[full]} if isinstance(whole, dict) and (full := full_name(name)) in whole else {}
        return found, names

    async def evict(self) -> int:
        """Remove the oldest images beyond the limits, but none in use; return their number.

        While a build runs none is removed: it may be built on their layers. The last build calls this again.

        Raises:
            EngineError: No engine answers.

        Cancellation: some are removed.
        """
        removed, kept = 0, set[str]()
        while not self._turns.running:
            stored = await self._images.stored()
            self._used = {one.name: self._used[one.name] for one in stored if one.name in self._used}
            used = await self._images.used_bytes()
            if used <= self._settings.images_max_bytes and len(stored) <= self._settings.images_kept:
                break
            old = [one for one in stored if one.id not in kept and not self._leased[one.name]]
            if not old:
                break
            oldest = min(old, key=lambda one: self._used.get(one.name, float(one.created)))
            kept.add(oldest.id)
            removed += await self._images.remove(oldest)
        if removed:
            _log.info("images removed", count=removed)
        return removed


@asynccontextmanager
async def open_images(
    settings: Settings, runtimes: Iterable[object], groups: CgroupTree | None
) -> AsyncIterator[ImageCache | None]:
    """Open the images of the engine that one of the runtimes has; None if there is none, or builds are off.

    Removes the oldest images beyond the limits.

    Args:
        settings: See ``ImageCache``.
        runtimes: Runtimes that launches may get.
        groups: The service's own control groups.

    Cancellation: some images are removed.
    """
    containers = next((one for one in runtimes if isinstance(one, ContainerRuntime)), None)
    if containers is None or not settings.image_builds:
        yield None
        return
    async with AsyncExitStack() as held:
        yield await _open(settings, containers, groups, held)


async def _open(
    settings: Settings, containers: ContainerRuntime, groups: CgroupTree | None, held: AsyncExitStack
) -> ImageCache | None:
    """Return the images of an engine; None if it builds none, which is logged."""
    images = containers.images
    open_steps: OpenSteps = open_engines_group
    try:
        root = await images.root_folder()
        if root is None or not await trio.to_thread.run_sync(root.is_dir):
            _log.warning("images are not built", reason="an engine builds beside the service only", root=str(root))
            return None
        if containers.is_podman:
            found = await held.enter_async_context(
                open_engine_groups(settings.data_dir, groups, limits_of_all(settings))
            )
            if found is None:
                _log.warning("images are not built", reason=_NO_GROUPS)
                return None
            await held.enter_async_context(removing_left(images, root, found))
            open_steps = TriedSteps(images, found, settings).open
        cache = ImageCache(settings, images, root, _network_of(settings, containers), open_steps)
        await cache.evict()
    except (EngineError, OSError) as error:
        _log.warning("images are not built", reason=str(error))
        return None
    return cache


def _network_of(settings: Settings, containers: ContainerRuntime) -> OpenNetwork:
    if settings.image_network == "indexes":
        return partial(open_index_network, containers.on_engines_runtime(), settings)
    return partial(open_engines_network, settings.image_network)


def _bad_base(said: str, name: str) -> EnvironmentFailed:
    return EnvironmentFailed(f"The image cannot be built: {said}.", reason="missing_image", image=name)


def _recipe(project: Path, source: ImageSource, labels: Mapping[str, str]) -> Recipe:
    # A message may quote the file: no link may lead out of the project.
    content: str | None = ""
    if source.dockerfile:
        try:
            with open_below(project, source.dockerfile) as (folder, name):
                content = read_small(folder, name, MOST_BYTES + 1)
        except OSError:
            content = None
    if content is None or len(content.encode()) > MOST_BYTES:
        raise EnvironmentFailed(
            f"{source.dockerfile} is no file of the project with {MOST_BYTES >> 10} KiB at most.",
            reason="dockerfile",
            path=source.dockerfile,
        )
    # Without a file, the text is all there is, with its FROM.
    text, after = (content, source.text) if source.dockerfile else (source.text, "")
    return read_dockerfile(
        text, source.dockerfile or "the image", labels, arguments=source.arguments, target=source.target, after=after
    )
