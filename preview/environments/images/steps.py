"""The control group of a build's steps, where the engine limits no number of processes itself (Podman).

The service makes a group for each build, with limits of memory, processor time and processes, and Podman runs the steps
in it. At the end all that still runs in it is killed. A step does not see its group: where version 1 is mounted, Podman
would let it change its own one.
"""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from preview.environments.images.context import DOCKERFILE, member_of
from preview.errors import EnvironmentFailed, LaunchFailed
from preview.runtime.cgroups import EngineGroups, GroupLimits
from preview.runtime.container import EngineError
from preview.runtime.container.builds import BuildLimits, podman_text
from preview.runtime.container.images import Images
from preview.settings import Settings

MOST_PROCESSES: Final = 1024
"""Processes and threads of a step."""

_TRIAL_S: Final = 60.0
_TRIAL_MIB: Final = 256
_NO_PROGRAM: Final = "/no-program"


@dataclass(frozen=True, slots=True)
class StepGroup:
    """The group of a build's steps: the engine's path of it, and the processes in it; neither if the engine has them.

    Attributes:
        path: Below where groups are mounted.
        pids: Returns the processes.
        give_up: Says that the engine may still start a step: its build is ended before the engine has ended it.
    """

    path: str = ""
    pids: Callable[[], Sequence[int]] = tuple
    give_up: Callable[[], None] = lambda: None


OpenSteps = Callable[[str], AbstractAsyncContextManager[StepGroup]]
"""Opens the group for the steps of the build with this token."""


@asynccontextmanager
async def open_engines_group(token: str) -> AsyncIterator[StepGroup]:
    """Yield none: the engine makes a group for each step, where the service limits it. Cancellation: no effect."""
    del token
    yield StepGroup()


@asynccontextmanager
async def open_own_group(groups: EngineGroups, settings: Settings, token: str) -> AsyncIterator[StepGroup]:
    """Yield a group with the limits of a build.

    Raises:
        EnvironmentFailed: The kernel refuses it.

    Cancellation: all steps are killed, and the group is removed (bounded).
    """
    try:
        async with groups.open(
            token,
            memory_bytes=settings.build_memory_mb << 20,
            cpu_cores=settings.cpu_limit,
            processes=MOST_PROCESSES,
        ) as (group, path):
            yield StepGroup(path, group.pids, groups.give_up)
    except LaunchFailed as error:
        raise EnvironmentFailed(f"The image cannot be built: {error.message}", reason="engine") from error


def limits_of_all(settings: Settings) -> GroupLimits:
    """Return the limits of all builds that run at once, together."""
    count = settings.image_builds_at_once
    return GroupLimits(settings.build_memory_mb * count << 20, settings.cpu_limit * count, MOST_PROCESSES * count)


class TriedSteps:
    """Opens groups of builds' steps. Before the first one, a trial shows that they work; after a failure, another one.

    Args:
        images: The engine's images.
        groups: Makes the groups.
        settings: Limits of builds.
    """

    def __init__(self, images: Images, groups: EngineGroups, settings: Settings) -> None:
        self._images = images
        self._groups = groups
        self._settings = settings
        self._trial = trio.Lock()
        self._works = False

    @asynccontextmanager
    async def open(self, token: str) -> AsyncIterator[StepGroup]:
        """Yield a group; see ``open_own_group``.

        Raises:
            EnvironmentFailed: The trial failed, or the kernel refuses the group.
            EngineError: No engine answers.

        Cancellation: as ``open_own_group``; a trial ends.
        """
        async with self._trial:
            if not self._works:
                if reason := await why_no_steps(self._images, self._groups):
                    raise EnvironmentFailed(f"The image cannot be built: {reason}.", reason="engine")
                self._works = True
        async with open_own_group(self._groups, self._settings, token) as group:
            yield group


async def why_no_steps(images: Images, groups: EngineGroups) -> str:
    """Return why the engine's steps would not run in groups of the service, as half a sentence; empty if they do.

    A trial is built, and the kernel says whether anything ran in its group.

    Raises:
        EngineError: No engine answers.

    Cancellation: the trial ends, and its group is removed.
    """
    token = f"preview-trial-{secrets.token_hex(8)}"
    base = images.name_of(token, "trial")
    limits = partial(BuildLimits, _TRIAL_MIB << 20, 1.0, 1 << 20, "none", token)
    try:
        with trio.fail_after(_TRIAL_S):
            await images.import_files(base, _packed({"empty": b""}))
            async with groups.open(token, memory_bytes=_TRIAL_MIB << 20, cpu_cores=1.0, processes=MOST_PROCESSES) as (
                group,
                path,
            ):
                said = await _try(images, base, limits(group=path))
                used = group.usage()
    except LaunchFailed as error:
        return error.message.rstrip(".")
    except trio.TooSlowError:
        return f"a trial of Podman's builds took more than {_TRIAL_S:g} s"
    finally:
        with trio.move_on_after(_TRIAL_S, shield=True), suppress(EngineError):
            await images.remove_named(base)
    # The engine's own process enters the group before it finds that there is no such program.
    if used.cpu_s or used.memory_bytes:
        return ""
    return f"Podman does not run a build's steps in the control group that the service has made ({said})"


async def _try(images: Images, base: str, limits: BuildLimits) -> str:
    dockerfile = f'FROM {images.full_name(base)}\nRUN ["{_NO_PROGRAM}"]\n'
    packed = _packed({DOCKERFILE: podman_text(dockerfile, {}).encode()})
    said = b""
    async with images.open_build(
        base.replace("trial", "tried", 1), DOCKERFILE, limits, len(packed), _whole(packed)
    ) as answer:
        async for piece in answer:
            said = (said + piece)[-2000:]
    return " ".join(said.decode("utf-8", "replace").splitlines()[-1:])[:300]


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _packed(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            archive.addfile(member_of(name, 0o644, len(content)), io.BytesIO(content))
    return packed.getvalue()
