"""All sandboxes of the service; they are lost with it."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Mapping
from functools import partial

import structlog
import trio

from preview.core.removal import remove_folder
from preview.errors import LaunchFailed
from preview.http.e2b.box import Box
from preview.http.e2b.errors import E2bError
from preview.http.e2b.keeper import open_keeper
from preview.people_errors import IsolationBelowMinimum, LaunchesStopped
from preview.service import Service

log = structlog.get_logger(__name__)

MAX_SANDBOXES = 32
"""Sandboxes of all users together."""
# Below every port of a preview and above the user ids that systems use themselves; see ``ProcessSpec.slot``.
_FIRST_SLOT = 900
_REMOVE_S = 5.0
_ID = re.compile(r"[a-z0-9]{20}")


class Boxes:
    """Makes, finds and ends sandboxes.

    Args:
        service: The service.
        nursery: Owns the sandboxes.
    """

    def __init__(self, service: Service, nursery: trio.Nursery) -> None:
        self._service = service
        self._nursery = nursery
        self._live: dict[str, Box] = {}
        self._reserved: dict[int, str] = {}
        self._root = service.settings.data_dir / "sandboxes"

    async def remove_leftovers(self) -> None:
        """Remove folders of an earlier process of the service; call it before the first sandbox.

        Cancellation: the rest is left.
        """
        await trio.to_thread.run_sync(remove_folder, self._root, abandon_on_cancel=True)

    @property
    def longest_s(self) -> float:
        """Seconds that a sandbox may live."""
        return self._service.settings.max_uptime_s

    async def create(
        self,
        user_id: str,
        template: str,
        timeout_s: float,
        metadata: Mapping[str, str],
        envs: Mapping[str, str],
        *,
        is_public: bool = True,
    ) -> Box:
        """Make a sandbox.

        Raises:
            E2bError: There are too many, this machine does not confine processes, or the operator has stopped launches.
            DatabaseUnavailable: The user's tier cannot be read.

        Cancellation: nothing is left.
        """
        settings = self._service.settings
        if self._service.rungs and not any(rung.name == "sandbox" and rung.holds for rung in self._service.rungs):
            raise E2bError("unimplemented", "Sandboxes need this machine's sandbox, which `preview doctor` explains.")
        subject = await self._service.rollout.subject(user_id, None, "")
        # No await between the checks and the claim.
        if self._service.draining.is_set():
            raise E2bError("unavailable", "The service is shutting down; try again in a moment.")
        try:
            # Sandboxes have this level, whatever flags say.
            self._service.rollout.check_level(subject, "sandbox" if self._service.rungs else "plain")
            self._service.rollout.choose(subject)
        except (LaunchesStopped, IsolationBelowMinimum) as error:
            raise E2bError("unavailable", error.message) from error
        if sum(owner == user_id for owner in self._reserved.values()) >= settings.e2b_sandboxes:
            raise E2bError(
                "resource_exhausted",
                f"You have {settings.e2b_sandboxes} sandboxes, the most that PREVIEW_E2B_SANDBOXES allows; kill one.",
            )
        slot = next((one for one in range(_FIRST_SLOT, _FIRST_SLOT + MAX_SANDBOXES) if one not in self._reserved), None)
        if slot is None:
            raise E2bError("resource_exhausted", f"The service has {MAX_SANDBOXES} sandboxes; try again later.")
        self._reserved[slot] = user_id
        run = partial(self._run, slot, user_id, template, timeout_s, metadata, envs, is_public=is_public)
        box: Box = await self._nursery.start(run)
        return box

    async def _run(
        self,
        slot: int,
        user_id: str,
        template: str,
        timeout_s: float,
        metadata: Mapping[str, str],
        envs: Mapping[str, str],
        *,
        is_public: bool,
        task_status: trio.TaskStatus[Box],
    ) -> None:
        """Keep a sandbox until its time is over or it is killed; then nothing of it is left."""
        name = "i" + secrets.token_hex(10)[:19]
        folder = self._root / name
        box: Box | None = None
        try:
            for one in ("home", "tmp"):
                (folder / one).mkdir(mode=0o700, parents=True)
            with trio.CancelScope(deadline=trio.current_time() + min(timeout_s, self.longest_s)) as scope:
                async with trio.open_nursery() as nursery:
                    with open_keeper(nursery) as keeper:
                        made = Box(
                            name, user_id, template, metadata, envs, folder, slot, self._service.settings, scope,
                            nursery, keeper, traffic_token=None if is_public else secrets.token_urlsafe(32),
                        )  # fmt: skip
                        async with self._service.runtime.open_process(made.spec()) as process:
                            keeper.theirs.close()
                            keeper.user = made.home.stat().st_uid if os.geteuid() == 0 else None
                            box = self._live[name] = made
                            box.note("sandbox started")
                            task_status.started(box)
                            await box.watch(process)
        except OSError as error:
            raise E2bError("unavailable", f"The sandbox cannot be made ({error.strerror}).") from error
        except ExceptionGroup as group:
            failed = group.subgroup(LaunchFailed)
            if box is None and failed is not None:
                raise E2bError("unavailable", str(first_of(failed))) from group
            # One sandbox's failure is never the service's.
            log.exception("sandbox failed", sandbox=name)
        finally:
            self._live.pop(name, None)
            with trio.move_on_after(_REMOVE_S, shield=True):
                await trio.to_thread.run_sync(remove_folder, folder, abandon_on_cancel=True)
            del self._reserved[slot]
            if box is not None:
                box.gone.set()

    def of(self, user_id: str) -> list[Box]:
        """Return the sandboxes of a user, newest first."""
        return [box for box in reversed(self._live.values()) if box.user_id == user_id]

    def own(self, user_id: str, name: str) -> Box:
        """Return a user's sandbox.

        Raises:
            E2bError: There is none of this name that is the user's.
        """
        box = self.find(name)
        if box is None or box.user_id != user_id:
            raise E2bError("not_found", f"Sandbox {_shown(name)} was not found.")
        return box

    def find(self, name: str) -> Box | None:
        """Return a sandbox by its name alone, unless it is ending."""
        box = self._live.get(name)
        return None if box is None or box.scope.cancel_called else box

    def with_token(self, name: str, token: str) -> Box:
        """Return the sandbox of a request for its files or commands.

        Raises:
            E2bError: There is none of this name, or the token is not its own.
        """
        box = self.find(name)
        # The same answer for both: a stranger learns nothing about a name.
        if box is None or not hmac.compare_digest(box.token.encode(), token.encode("utf-8", "replace")):
            raise E2bError("sandbox_gone", f"The sandbox {_shown(name)} was not found.")
        return box

    async def kill(self, box: Box) -> None:
        """End a sandbox; returns when nothing of it is left.

        Cancellation: it still ends.
        """
        box.scope.cancel()
        await box.gone.wait()


def first_of(group: BaseException) -> BaseException:
    """Return the first error of a group."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def _shown(name: str) -> str:
    return name if _ID.fullmatch(name) else "of this name"
