"""The warm runtime under the tests of this room: each program is forked from a template, or the test fails."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
import venv
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio
from runtime_kit import INTERPRETER, LIMITS, PYTHON, CancelAtStep, none_but, open_descriptors

from preview.runtime import ProcessSpec, RunningProcess, SandboxRuntime, WarmStart, child_subreaper
from preview.runtime.kernel import proctree
from preview.runtime.warm import Bounds, WarmRuntime, open_warm_runtime
from preview.runtime.warm.pool import Opener
from preview.runtime.warm.template_making import open_template_for
from preview.runtime.warm.template_process import Template
from preview.runtime.warm.wanted import RememberedTemplates, Wanted, wanted_by

__all__ = [
    "BOUNDS",
    "RUN_TEXT",
    "Environment",
    "KeptTemplate",
    "WarmTexts",
    "as_warm",
    "cancel_at_each_step",
    "keep_template",
    "make_environment",
    "open_leaving_nothing",
    "open_texts",
    "open_warm",
    "ready",
    "settled",
]

RUN_TEXT = Path(__file__).with_name("warm_launchers") / "run_text.py"
BOUNDS = Bounds(templates=2, memory_bytes=256 * 2**20, max_age_s=3600)


def as_warm(
    spec: ProcessSpec,
    told: list[str],
    *,
    key: str = "texts",
    modules: Sequence[str] = (),
    own: frozenset[str] = frozenset(),
    readable: Sequence[Path] = (),
) -> ProcessSpec:
    """The same program, started so that a template can have it; what does not run a text stays as it is."""
    if list(spec.argv[: len(PYTHON)]) != PYTHON:
        return spec
    warm = WarmStart(key, RUN_TEXT, tuple(modules), own, (), told.append)
    return replace(
        spec,
        argv=[PYTHON[0], str(RUN_TEXT), *spec.argv[len(PYTHON) :]],
        readable=(*spec.readable, RUN_TEXT.parent, *readable),
        warm=warm,
    )


_SMALLEST = as_warm(ProcessSpec("preview_test", [*PYTHON, ""], Path("/"), {}, None, LIMITS, readable=INTERPRETER), [])


class WarmTexts(WarmRuntime):
    """Programs of ``[*PYTHON, text, …]`` are forked; what has no text is started cold.

    Attributes:
        told: What the last starts said.
    """

    def __init__(self, warm: WarmRuntime) -> None:
        """Args: warm: has the template ready."""
        vars(self).update(vars(warm))
        self.told: list[str] = []

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[RunningProcess]:
        """See ``Runtime``; fails where a text was not forked. Cancellation: the whole tree is gone (bounded)."""
        started = as_warm(spec, self.told)
        async with super().open_process(started) as process:
            if started.warm is not None:
                said = self.told.pop()
                assert said.startswith("started warm"), said
            yield process


async def settled(warm: WarmRuntime, spec: ProcessSpec) -> bool:
    """Have the template that the specification is forked from, or why there is none: whether there is one."""
    assert spec.warm is not None
    warm.prepare(spec)
    slot = warm.templates._slots[spec.warm.key]
    with trio.fail_after(60):
        while slot.is_making:  # noqa: ASYNC110  a pool tells nobody that a template is ready
            await trio.sleep(0.01)
    return slot.live is not None


async def ready(warm: WarmRuntime, spec: ProcessSpec) -> None:
    """Have the template that the specification is forked from."""
    assert await settled(warm, spec)


def make_environment(folder: Path, packages: Mapping[str, str]) -> Environment:
    """An environment whose packages are single modules, by name."""
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for name, text in packages.items():
        (site / f"{name}.py").write_text(text)
    return Environment(folder / "bin" / "python", (folder, *INTERPRETER), tuple(packages))


@dataclass(frozen=True, slots=True)
class Environment:
    """What an interpreter finds, and a template imports."""

    python: Path
    readable: tuple[Path, ...]
    modules: tuple[str, ...]

    def spec(self, text: str, project: Path, told: list[str], **values: Any) -> ProcessSpec:
        """A program of it that can be forked."""
        own = values.pop("own", frozenset())
        warm = WarmStart(self.python.parent.parent.name, RUN_TEXT, self.modules, own, (), told.append)
        readable = (*self.readable, RUN_TEXT.parent)
        given: dict[str, Any] = {"environment": {}, "listener": None, "limits": LIMITS, "slot": 1, **values}
        argv = [str(self.python), str(RUN_TEXT), text]
        return ProcessSpec("preview_test", argv, project, readable=readable, writable=(project,), warm=warm, **given)


@asynccontextmanager
async def open_warm(
    sandbox: SandboxRuntime, bounds: Bounds = BOUNDS, *, timeout_s: float = 30
) -> AsyncIterator[WarmRuntime]:
    """The warm runtime without any template."""
    with tempfile.TemporaryDirectory() as folder:
        remembered = RememberedTemplates(Path(folder))
        async with open_warm_runtime(sandbox, bounds, remembered=remembered, startup_timeout_s=timeout_s) as warm:
            yield warm


@asynccontextmanager
async def open_leaving_nothing(sandbox: SandboxRuntime) -> AsyncIterator[WarmRuntime]:
    """As ``open_warm``; when it is closed nothing is left of it."""
    before, others = open_descriptors(), set(proctree.descendants(os.getpid()))
    with child_subreaper():
        async with open_warm(sandbox) as opened:
            yield opened
            assert (opened._speculative, opened._reservations._unused) == ({}, {})
    await none_but(others)
    assert open_descriptors() <= before


@asynccontextmanager
async def open_texts(sandbox: SandboxRuntime, kept: KeptTemplate | None = None) -> AsyncIterator[WarmTexts]:
    """With a template that is ready: its own, or one that is kept."""
    async with open_warm(sandbox) as warm:
        if kept is not None:
            warm.templates._opener = kept.opener(warm.templates._opener)
        await ready(warm, _SMALLEST)
        yield WarmTexts(warm)


class KeptTemplate:
    """A template that serves many tests, one after the other: to make one takes longer than most of them.

    Held by a thread of its own, as whoever has started it has to outlive it. Made by ``keep_template``.
    """

    def __init__(self, template: Template, wanted: Wanted) -> None:
        self._template = template
        self._wanted = wanted

    def opener(self, otherwise: Opener) -> Opener:
        """Opens it where it will do."""

        def opener(wanted: Wanted) -> AbstractAsyncContextManager[Template]:
            will_do = wanted.sees_as(self._wanted) and wanted.modules == self._wanted.modules
            return self._open() if will_do else otherwise(wanted)

        return opener

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Template]:
        yield _Kept(self._template._control, self._template.told, self._template.origin)


class _Kept(Template):
    """One user's part in it."""

    def let_go(self) -> None:
        """It serves others still."""


@contextmanager
def keep_template(sandbox: SandboxRuntime) -> Iterator[KeptTemplate]:
    """Call it outside of trio, in the main thread."""
    made: queue.SimpleQueue[tuple[KeptTemplate, trio.lowlevel.TrioToken, trio.CancelScope]] = queue.SimpleQueue()
    assert _SMALLEST.warm is not None
    wanted = wanted_by(_SMALLEST, _SMALLEST.warm)

    async def hold() -> None:
        with trio.CancelScope() as scope:
            async with open_template_for(sandbox, wanted, BOUNDS, 30) as template:
                made.put((KeptTemplate(template, wanted), trio.lowlevel.current_trio_token(), scope))
                await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=(hold,))
    thread.start()
    kept, token, scope = made.get(timeout=60)
    try:
        yield kept
    finally:
        with child_subreaper():
            token.run_sync_soon(scope.cancel)
            thread.join()


async def cancel_at_each_step(opening: Callable[[], AbstractAsyncContextManager[object]], steps: Iterable[int]) -> None:
    """Open a process again and again, cancelled one step later each time, until it opens; nothing is left of any."""
    before, others = open_descriptors(), set(proctree.descendants(os.getpid()))
    for step in steps:
        has_entered = False
        with trio.CancelScope() as scope:
            instrument = CancelAtStep(scope, step, trio.lowlevel.current_task())
            trio.lowlevel.add_instrument(instrument)
            try:
                async with opening():
                    has_entered = True
            finally:
                trio.lowlevel.remove_instrument(instrument)
        with trio.fail_after(60):
            # A fork that was not told to go on ends by itself.
            while not set(proctree.descendants(os.getpid())) <= others:  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.001)
        assert open_descriptors() <= before, step
        if has_entered and not scope.cancelled_caught:
            return
    pytest.fail("never got through")
