"""Pool of templates: one per environment in use, made in the background, replaced by age, limited in number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
import trio

from preview.errors import PreviewError
from preview.runtime.warm.template_process import USE, NoTemplate, Template, UnsafeModule
from preview.runtime.warm.wanted import RememberedTemplates, Wanted

log = structlog.get_logger(__name__)

# With more modules than this that make forks unsafe, the environment gets no template.
_MOST_UNSAFE = 8
# Pauses after failed attempts, doubled each time.
_FIRST_PAUSE_S = 30.0
_LAST_PAUSE_S = 3600.0
# Slots without a template are remembered for their reason.
_MOST_REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of templates.

    Attributes:
        templates: Maximum number at a time.
        memory_bytes: Maximum resident memory of each.
        max_age_s: Age at which a template is replaced, to get a new hash seed and new memory addresses.
    """

    templates: int
    memory_bytes: int
    max_age_s: float


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """Facts about the template of one environment.

    Attributes:
        key: Key of the environment.
        is_ready: Whether starts are forked from it now.
        forks: Number of processes that it has forked; 0 without one.
        age_s: Seconds since it was started; None without one.
        why_not: Half a sentence: why there is none; empty for a ready one.
    """

    key: str
    is_ready: bool
    forks: int
    age_s: float | None
    why_not: str


Opener = Callable[[Wanted], AbstractAsyncContextManager[Template]]


@dataclass(eq=False, slots=True)
class _Live:
    """A running template, and the number of its users."""

    template: Template
    wanted: Wanted
    folder: tuple[int, ...]
    uses: int = 0
    retired: trio.Event = field(default_factory=trio.Event)
    unused: trio.Event = field(default_factory=trio.Event)


@dataclass(eq=False, slots=True)
class _Slot:
    """The template of one environment, or the reason for having none."""

    wanted: Wanted
    live: _Live | None = None
    why_not: str = "its template is not ready yet"
    is_making: bool = False
    used_at: float = 0.0
    again_at: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    unsafe: frozenset[str] = frozenset()
    warm_ups: bool = True
    # Ends the making of a template that is not ready yet; None at other times.
    making: trio.CancelScope | None = None
    settled: trio.Event = field(default_factory=trio.Event)


class TemplatePool:
    """Provides ready templates, and makes missing ones.

    Invariant: at most ``bounds.templates`` are ready. A retired template whose forks still serve ends at once; only its
    small keeper process stays until the last fork ends.
    """

    def __init__(self, nursery: trio.Nursery, opener: Opener, bounds: Bounds, remembered: RememberedTemplates) -> None:
        self._nursery = nursery
        self._opener = opener
        self._bounds = bounds
        self._remembered = remembered
        # Templates are made one at a time, because each takes a core for half a second.
        self._turn = trio.Lock()
        self._slots: dict[str, _Slot] = {}

    @property
    def ready(self) -> list[str]:
        """Keys of all ready templates."""
        return [key for key, slot in self._slots.items() if slot.live is not None]

    def facts(self) -> list[TemplateFacts]:
        """Return the facts about each environment that has or had a template, the last used first."""
        now = trio.current_time()
        found: list[TemplateFacts] = []
        for key, slot in sorted(self._slots.items(), key=lambda one: -one[1].used_at):
            if slot.live is None:
                found.append(TemplateFacts(key, False, 0, None, slot.why_not))
            else:
                template = slot.live.template
                found.append(TemplateFacts(key, True, template.forks, now - template.started_at, ""))
        return found

    def is_ready(self, key: str) -> bool:
        """Return whether this key has a ready template."""
        slot = self._slots.get(key)
        return slot is not None and slot.live is not None

    def current(self, wanted: Wanted) -> Template:
        """Return the current template; requests one for the next start if none exists, or it lacks modules.

        Raises:
            NoTemplate: There is no suitable template now.
        """
        self.want(wanted)
        slot = self._slots[wanted.key]
        if slot.live is None:
            raise NoTemplate(slot.why_not)
        if not slot.live.wanted.modules <= wanted.modules:
            raise NoTemplate("its template imported packages that this project does not use, and is being replaced")
        return slot.live.template

    async def wait_current(self, wanted: Wanted) -> bool:
        """Wait until the template is made, or has failed; return whether there is one.

        Cancellation: the template is still made.
        """
        self.want(wanted)
        slot = self._slots[wanted.key]
        while slot.is_making:
            if slot.settled.is_set():
                slot.settled = trio.Event()
            await slot.settled.wait()
        await trio.lowlevel.checkpoint()
        return slot.live is not None

    def want(self, wanted: Wanted) -> None:
        """Request a template in the background; does nothing if a suitable one is ready or being made."""
        slot = self._slots.setdefault(wanted.key, _Slot(wanted))
        now = slot.used_at = trio.current_time()
        live = slot.live
        if live is not None and (_folder(wanted.python) != live.folder or not wanted.sees_as(live.wanted)):
            self._retire(slot, "its environment was built again")
            live = None
        is_young = live is not None and now - live.template.started_at < self._bounds.max_age_s
        # The template imports only modules that all projects of this environment import. An import may change existing
        # modules, and must not affect a project that did not request it. Replacing a template starts a new selection.
        modules = wanted.modules & slot.wanted.modules if is_young or slot.is_making else wanted.modules
        slot.wanted = replace(wanted, modules=modules)
        if live is not None and is_young and live.wanted.modules == modules:
            return
        if not slot.is_making and now >= slot.again_at:
            self._begin(slot)

    def drop(self, key: str) -> bool:
        """End this key's template, or its making; the next start that wants it has another one made.

        Processes that were forked from it go on. Returns whether the key is known.
        """
        slot = self._slots.get(key)
        if slot is None:
            return False
        if slot.making is not None:
            slot.making.cancel()
        slot.making, slot.is_making = None, False
        slot.settled.set()
        if slot.live is not None:
            log.info("template dropped", key=key)
        self._retire(slot, "an operator dropped its template")
        return True

    def rebuild(self, key: str) -> bool:
        """Have this key's template made again at once, as if none had failed before; starts use the old one meanwhile.

        Returns whether the key is known.
        """
        slot = self._slots.get(key)
        if slot is None:
            return False
        slot.again_at, slot.pause_s, slot.unsafe, slot.warm_ups = 0.0, _FIRST_PAUSE_S, frozenset(), True
        if slot.live is None:
            slot.why_not = "its template is being made"
        if not slot.is_making:
            log.info("template rebuild requested", key=key)
            self._begin(slot)
        return True

    @contextmanager
    def use(self, wanted: Wanted) -> Iterator[Template]:
        """Yield the template, which stays usable inside the block; requests one for the next start if none exists.

        Raises:
            NoTemplate: There is no suitable template now.
        """
        self.current(wanted)
        slot = self._slots[wanted.key]
        live = slot.live
        assert live is not None, "or there is none"  # noqa: S101
        self._remembered.note(slot.wanted)
        live.uses += 1
        try:
            yield live.template
        finally:
            live.uses -= 1
            if not live.uses:
                live.unused.set()

    def retired(self, template: Template) -> trio.Event:
        """Return an event that is set once the template forks no further process."""
        for slot in self._slots.values():
            if slot.live is not None and slot.live.template is template:
                return slot.live.retired
        retired = trio.Event()
        retired.set()
        return retired

    def give_up(self, template: Template, why: str) -> None:
        """Discard a failed template, and have another one made when it is next wanted."""
        for key, slot in self._slots.items():
            if slot.live is not None and slot.live.template is template:
                log.warning("template discarded", key=key, why=why)
                self._put_off(slot, template)
                self._retire(slot, why)
                return

    def _put_off(self, slot: _Slot, template: Template) -> None:
        """Delay the next template after a short life, twice as long each time; replace others at once."""
        now = trio.current_time()
        if now - template.started_at > slot.pause_s:
            slot.pause_s = _FIRST_PAUSE_S
        else:
            slot.again_at = now + slot.pause_s
            slot.pause_s = min(slot.pause_s * 2, _LAST_PAUSE_S)

    def _retire(self, slot: _Slot, why: str) -> None:
        if slot.live is not None:
            slot.live.retired.set()
        slot.live, slot.why_not = None, why

    def _begin(self, slot: _Slot) -> None:
        slot.is_making = True
        slot.making = making = trio.CancelScope()
        self._nursery.start_soon(self._keep, slot, making, name=f"template {slot.wanted.key}")

    async def _keep(self, slot: _Slot, making: trio.CancelScope) -> None:
        """Make a template, and keep it until it is retired and unused.

        Cancellation: the template and all its forks are ended (bounded).
        """
        with making:
            await self._make(slot, making)

    async def _make(self, slot: _Slot, making: trio.CancelScope) -> None:
        await self._turn.acquire()
        is_mine = True
        # The definition may have changed while waiting for the lock.
        made_of = slot.wanted
        wanted = replace(made_of, modules=made_of.modules - slot.unsafe, warm_ups=slot.warm_ups)
        try:
            async with self._opener(wanted) as template:
                self._turn.release()
                is_mine = False
                await self._serve(slot, template, made_of)
        except UnsafeModule as error:
            if not making.cancel_called:
                self._leave_out(slot, error)
        except (NoTemplate, PreviewError, OSError) as error:
            if not making.cancel_called:
                self._note_failure(slot, str(error))
        finally:
            if is_mine:
                self._turn.release()
            self._forget()

    async def _serve(self, slot: _Slot, template: Template, made_of: Wanted) -> None:
        """Run one template until it is retired and unused. Cancellation: the template is retired."""
        if template.told.memory_bytes > self._bounds.memory_bytes:
            raise NoTemplate(
                f"its template takes {template.told.memory_bytes >> 20} MB, more than PREVIEW_WARM_MEMORY_MB allows"
            )
        slot.is_making, slot.making = False, None
        self._make_room(slot)
        self._retire(slot, "its template is being replaced")
        slot.live = live = _Live(template, made_of, _folder(made_of.python))
        slot.settled.set()
        log.info("template ready", key=slot.wanted.key, modules=template.told.imported)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, slot, live)
                await live.retired.wait()
                nursery.cancel_scope.cancel()
        finally:
            if slot.live is live:
                self._retire(slot, "its template is gone")
        template.let_go()
        while live.uses:
            live.unused = trio.Event()
            await live.unused.wait()

    async def _watch(self, slot: _Slot, live: _Live) -> None:
        await live.template.wait_ended()
        if slot.live is live:
            log.warning("template exited", key=slot.wanted.key)
            self._put_off(slot, live.template)
            self._retire(slot, "its template exited and is being recreated")
        live.retired.set()

    def _leave_out(self, slot: _Slot, error: UnsafeModule) -> None:
        """Try again without the module that makes forks unsafe; the project imports the module itself."""
        log.info("template skipped module", key=slot.wanted.key, module=error.module, why=str(error))
        slot.is_making, slot.making = False, None
        is_use = slot.warm_ups and error.module.startswith(USE)
        slot.warm_ups = slot.warm_ups and not is_use
        slot.unsafe |= {error.module}
        if len(slot.unsafe) > _MOST_UNSAFE or not (is_use or error.module in slot.wanted.modules):
            self._note_failure(slot, str(error))
            return
        self._begin(slot)

    def _note_failure(self, slot: _Slot, why: str) -> None:
        log.warning("template failed", key=slot.wanted.key, why=why)
        slot.is_making, slot.making = False, None
        slot.settled.set()
        if slot.live is None:
            slot.why_not = why
        slot.again_at = trio.current_time() + slot.pause_s
        slot.pause_s = min(slot.pause_s * 2, _LAST_PAUSE_S)

    def _make_room(self, slot: _Slot) -> None:
        others = sorted(
            (one for one in self._slots.values() if one.live and one is not slot), key=lambda one: one.used_at
        )
        while others and len(others) >= self._bounds.templates:
            self._retire(others.pop(0), f"PREVIEW_WARM_TEMPLATES={self._bounds.templates} others were used since")

    def _forget(self) -> None:
        for key, slot in list(self._slots.items()):
            if len(self._slots) <= _MOST_REMEMBERED:
                return
            if slot.live is None and not slot.is_making:
                del self._slots[key]


def _folder(python: Path) -> tuple[int, ...]:
    """Return the identity of an environment's folder: a rebuilt one has the same name, and maybe the same inode."""
    try:
        status, link = python.parent.stat(), python.lstat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, link.st_ino, link.st_ctime_ns
