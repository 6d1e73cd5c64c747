"""Steps before the application: migrations, builds, generators; each a separate process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import trio

from preview.core.isolation import Network
from preview.core.launch_steps import planned_name
from preview.core.quoting import quoted
from preview.detection import MAKE_MIGRATIONS, TABLES_PROGRAM, StartPlan, Step
from preview.environments import BuiltImage, Environment
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.runtime import (
    Exit,
    ProcessSpec,
    RunImage,
    RunNetwork,
    RunningProcess,
    Runtime,
    Serve,
    WarmStart,
    interpreter_paths,
    limits_of,
)
from preview.runtime.launchers import LAUNCHERS
from preview.settings import Settings
from preview.supervisor.diagnosis.diagnose_services import may_be_administered, refused_right
from preview.supervisor.diagnosis.diagnosis import with_own_paths
from preview.supervisor.diagnosis.last_words import last_words
from preview.supervisor.diagnosis.logged_errors import spelled_out
from preview.supervisor.diagnosis.needs import explain
from preview.supervisor.launch.command import resolve_command
from preview.supervisor.launch.shipped_data import (
    FOR_NEW_DATABASE,
    find_shipped_database,
    has_commands_for_new_database,
    may_be_a_file,
)
from preview.supervisor.launch.variables import trusted_file
from preview.supervisor.launch.workspace import Workspace
from preview.supervisor.limits.limits import (
    memory_error,
    tell,
    tell_output,
    was_killed_for_memory,
    watch_usage,
)
from preview.supervisor.limits.watch_disk import DiskWatch, watch_disk
from preview.supervisor.preview.control import Control
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.patience import tell_while_silent

_DRAIN_S = 0.5
_MOST_SHOWN = 120
_LAST_LINES = 200
_CHECKS = ("SystemCheckError:", "django.core.management.base.SystemCheckError:")
_CHECKING = "/django/core/checks/"
_NO_CHECKS = "--skip-checks"
_MANY_HEADS = "Multiple head revisions are present"
_HEADS = "heads"
_TYPEORM = "migration:run"
# Without their tables, applications fail later.
_MAKES_TABLES = frozenset({"migrations", "tables", MAKE_MIGRATIONS})


@dataclass(frozen=True, slots=True)
class PreparedLaunch:
    """Everything that a preview's processes start from.

    Attributes:
        settings: The service's settings.
        runtime: Starts the processes.
        plan: The start plan.
        workspace: The preview's folders.
        environment: Installed packages that the processes use.
        variables: Environment variables of steps and application.
        network: Network that the processes can reach.
        disk: Watches the size of the preview's folders.
        warm: Template that the application can be forked from.
        reaches: What serves ports of the processes' own loopback: the preview's databases.
        beside: Private network of the preview's containers; None if it has one container.
        held: Cancelling this scope ends the environment's lease; None: the lease lasts as long as the preview.
    """

    settings: Settings
    runtime: Runtime
    plan: StartPlan
    workspace: Workspace
    environment: Environment
    variables: Mapping[str, str]
    network: Network
    disk: DiskWatch
    warm: WarmStart | None = None
    reaches: Mapping[int, Serve] = field(default_factory=dict)
    beside: RunNetwork | None = None
    held: trio.CancelScope | None = None

    def spec(
        self,
        preview: LivePreview,
        argv: list[str],
        directory: Path,
        variables: Mapping[str, str],
        *,
        control: Control | None = None,
        port: int | None = None,
        number: int | None = None,
    ) -> ProcessSpec:
        """Return the spec of one process of the preview.

        Args:
            preview: The preview.
            argv: Program and arguments.
            directory: Working directory.
            variables: Environment variables.
            control: Control channel of a serving process, which also inherits the listening socket.
            port: Port, if the program opens its own listening socket.
            number: Number of the process within the preview; None means the next one.
        """
        settings, image = self.settings, self.environment.image
        # The image has its own copy of the project. No process may write where the next build reads.
        folders = self.workspace.folders if image is None else self.workspace.folders[1:]
        return ProcessSpec(
            preview_id=preview.id,
            argv=argv,
            directory=directory,
            environment=variables,
            listener=None if control is None else preview.listener_for(self.network),
            limits=limits_of(settings),
            # Steps may compile extension modules.
            readable=(*readable_in(self.environment, builds=control is None), *self._trusted()),
            writable=folders,
            around=self.workspace.root if image is None else None,
            links=self._links(),
            network=self.network,
            loopback_ports=settings.loopback_ports,
            reaches=self.reaches,
            port=port,
            slot=preview.record.port or 0,
            number=preview.next_number() if number is None else number,
            control=None if control is None else control.theirs,
            # Steps are separate programs, so they are not forked from a template.
            warm=None if control is None else self.warm,
            image=None if image is None else run_image(preview, image, self.beside),
        )

    def _links(self) -> dict[Path, Path]:
        """Return the folder that the programs see at another absolute path, by that path."""
        at, folder = self.plan.linked_at, self.plan.linked_folder
        return {} if at is None else {Path(at): self.workspace.project / (folder or ".")}

    def _trusted(self) -> tuple[Path, ...]:
        file = trusted_file(self.settings, self.plan)
        return () if file is None or self.environment.image is not None else (file,)


def run_image(preview: LivePreview, image: BuiltImage, network: RunNetwork | None) -> RunImage:
    """Return the image of a preview's process."""
    return RunImage(
        image.name,
        image.volumes,
        tuple(image.variables),
        image.hosts,
        image.directory,
        image.user,
        network,
        lambda said: preview.log.say(said, Level.WARNING),
    )


def readable_in(environment: Environment, *, builds: bool = False) -> tuple[Path, ...]:
    """Return folders that an environment's processes must read besides the preview's own."""
    if environment.image is not None:
        return ()
    return (environment.directory, *interpreter_paths(environment.program, builds=builds), LAUNCHERS)


async def run_first_steps(preview: LivePreview, prepared: PreparedLaunch, *, has_data: bool = False) -> None:
    """Run the plan's steps in new folders. Commands for a new database are left out if there is one already.

    Args:
        preview: The preview.
        prepared: Its launch.
        has_data: Whether it starts with the data of a snapshot. A database may also come with the project.

    Raises:
        LaunchFailed: A required step has failed.

    Cancellation: the running step is killed with all processes that it started.
    """
    plan, is_new = prepared.plan, not has_data
    if has_data:
        plan = _without_new_database(plan)
    elif has_commands_for_new_database(plan) or (may_be_a_file(plan) and any(map(_from_models, plan.steps))):
        project = prepared.workspace.project
        shipped = await trio.to_thread.run_sync(find_shipped_database, project, abandon_on_cancel=True)
        is_new = shipped is None
        if shipped is not None and has_commands_for_new_database(plan):
            left = ", ".join(f"`{' '.join(step.argv)}`" for step in plan.steps if step.name in FOR_NEW_DATABASE)
            preview.log.say(f"not run: {left}; the project comes with its own database, {quoted(shipped)}")
            plan = _without_new_database(plan)
    await run_steps(preview, replace(prepared, plan=plan), is_new=is_new)


def _without_new_database(plan: StartPlan) -> StartPlan:
    return replace(plan, steps=tuple(step for step in plan.steps if step.name not in FOR_NEW_DATABASE))


async def run_steps(preview: LivePreview, prepared: PreparedLaunch, *, is_new: bool = False) -> None:
    """Run the plan's steps in order, each to its end, and log each.

    Args:
        preview: The preview.
        prepared: Its launch.
        is_new: Whether its database is new: if the project's migrations fail, the models make the tables.

    Raises:
        LaunchFailed: A required step has failed.

    Cancellation: the running step is killed with all processes that it started.
    """
    preview.progress.plan([planned_name(step.name) for step in prepared.plan.steps])
    for step in prepared.plan.steps:
        try:
            await _run_step(preview, prepared, step, is_new=is_new)
        finally:
            # A newer reload cancels this one here, and the preview continues.
            preview.progress.leave(planned_name(step.name))


async def _run_step(preview: LivePreview, prepared: PreparedLaunch, step: Step, *, is_new: bool) -> None:
    command = " ".join(step.argv)
    shown = command if len(command) <= _MOST_SHOWN else f"{command[:_MOST_SHOWN]}…"
    preview.log.say(f"step {step.name}: running ({shown}), {step.why}")
    preview.progress.start(planned_name(step.name))
    started, before = trio.current_time(), preview.log.last_seq
    limit_s = prepared.settings.step_timeout_s
    ended: Exit | None = None
    try:
        with trio.move_on_after(limit_s):
            ended = await _carry_out(preview, prepared, step)
    except LaunchFailed as error:
        if error.details.get("limit") == "memory":
            # Fail even for an optional step: the application would need more memory than the step.
            preview.progress.fail(planned_name(step.name), error.message)
            raise
        _tell_failure(preview, step, f"failed to start; {error.message}", error)
        return
    if ended == Exit(code=0):
        preview.log.say(f"step {step.name}: done in {trio.current_time() - started:.2f} s")
        preview.progress.finish(planned_name(step.name))
    elif ended is None:
        said = f"failed: it did not finish within {limit_s:g} s (PREVIEW_STEP_TIMEOUT)"
        _tell_failure(preview, step, said, LaunchFailed(f"The step {step.name} {said}.", reason="step", step=step.name))
    else:
        lines = spelled_out(preview.output_since(before, _LAST_LINES))
        found = await explain(preview, lines, prepared.plan.services)
        words = with_own_paths(last_words(lines) or "no reason was given", preview.directory)
        meaning = found.message if found else words
        failure = LaunchFailed(
            found.message if found else f"The step {step.name} failed with {ended}: {words}",
            **(found.details if found else {}),
            reason=found.reason if found else "step",
            step=step.name,
            exit_code=ended.code,
            exit_signal=ended.signal,
        )
        if not step.required and await _offer_refusal(preview, prepared, lines):
            # This attempt is being ended.
            preview.progress.fail(planned_name(step.name), f"failed with {ended}; {meaning}")
            return
        if (second := _second_try(step, lines)) is not None:
            other, why = second
            preview.log.say(f"step {step.name}: {why} in a second try", Level.WARNING)
            await _run_step(preview, prepared, other, is_new=is_new)
            return
        if not step.required and step.name in _MAKES_TABLES and await _offer_step(preview, lines):
            preview.progress.fail(planned_name(step.name), f"failed with {ended}; {meaning}")
            return
        unreached = found is not None and found.reason == "missing_service"
        if is_new and not unreached and (models := _from_models(step)) is not None:
            preview.log.say(f"step {step.name}: failed with {ended}; {meaning}", Level.WARNING)
            await _run_step(preview, prepared, models, is_new=False)
            return
        _tell_failure(preview, step, f"failed with {ended}; {meaning}", failure)


def _second_try(step: Step, lines: Sequence[str]) -> tuple[Step, str] | None:
    """Return a failed step of migrations with another option, and what that does; None if none would help."""
    fails = any(line.startswith(_CHECKS) or _CHECKING in line for line in lines)
    if "migrate" in step.argv and _NO_CHECKS not in step.argv and fails:
        # The application starts without them.
        return replace(step, argv=(*step.argv, _NO_CHECKS)), "Django's own checks fail, and are left out"
    if "upgrade" in step.argv and _HEADS not in step.argv and any(_MANY_HEADS in line for line in lines):
        argv = tuple(one for one in step.argv if one != "head")
        return replace(step, argv=(*argv, _HEADS)), "there are several newest migrations, and all are run"
    return None


def _from_models(step: Step) -> Step | None:
    """Return the step that makes the tables of the models in place of migrations; None for other steps."""
    why = "the migrations fail on a new database, so its tables are made from the models"
    program, *arguments = step.argv
    if step.required:
        return None
    if program in {"alembic", "flask"} and "upgrade" in arguments:
        # ("alembic", "--name", "section", "upgrade", "head") or ("flask", "db", "upgrade", "--directory", "migrations")
        given = arguments[: arguments.index("upgrade")] if program == "alembic" else arguments[2:4]
        return replace(step, argv=(TABLES_PROGRAM, program, *given), why=why)
    if _TYPEORM in arguments:
        return replace(step, argv=tuple("schema:sync" if one == _TYPEORM else one for one in step.argv), why=why)
    return None


async def _offer_refusal(preview: LivePreview, prepared: PreparedLaunch, lines: Sequence[str]) -> bool:
    """Return True if PostgreSQL has refused an optional step, and another attempt gets a server of its own.

    Cancellation: nothing changes.
    """
    offer = preview.mends.offer
    if offer is None or refused_right(lines) is None or not preview.servers.can_be_administered:
        return False
    return may_be_administered(prepared.plan.services) and await offer(lines)


async def _offer_step(preview: LivePreview, lines: Sequence[str]) -> bool:
    """Return True if what the step lacks can be added, and another attempt follows. Cancellation: nothing changes."""
    offer = preview.mends.offer_step
    return offer is not None and await offer(lines)


def _tell_failure(preview: LivePreview, step: Step, said: str, error: LaunchFailed) -> None:
    preview.log.say(f"step {step.name}: {said}", Level.ERROR if step.required else Level.WARNING)
    preview.progress.fail(planned_name(step.name), said)
    if step.required:
        raise error
    preview.log.say(f"the application is started without the step {step.name}", Level.WARNING)


async def _carry_out(preview: LivePreview, prepared: PreparedLaunch, step: Step) -> Exit:
    directory = prepared.workspace.project / step.directory
    argv = resolve_command(list(step.argv), prepared.environment, directory)
    variables = {**prepared.variables, **(step.variables or {})}
    async with prepared.runtime.open_process(prepared.spec(preview, argv, directory, variables)) as process:
        return await _read_to_end(preview, process, prepared, f"step {step.name}")


async def _read_to_end(preview: LivePreview, process: RunningProcess, prepared: PreparedLaunch, doing: str) -> Exit:
    """Return the exit. Reads all output, unless a leftover process keeps the pipe open past the drain time."""
    settings = prepared.settings
    over: list[LaunchFailed] = []
    ended = Exit()
    async with trio.open_nursery() as nursery:

        def end(error: LaunchFailed) -> None:
            over.append(error)
            nursery.cancel_scope.cancel()

        nursery.start_soon(partial(watch_usage, preview, process, settings, is_step=True, end=end))
        nursery.start_soon(partial(watch_disk, preview, process.members, prepared.disk, is_step=True))
        nursery.start_soon(tell_while_silent, preview.log, doing)
        drained = trio.Event()

        async def read() -> None:
            await preview.log.read_output(process.output, held=partial(tell_output, preview, settings))
            drained.set()

        nursery.start_soon(read)
        ended = await process.wait()
        if was_killed_for_memory(preview, process):
            end(memory_error(settings, is_step=True))
        await preview.log.read_rest(process.output, drained, _DRAIN_S)
        nursery.cancel_scope.cancel()
    if over:
        tell(preview, "memory", over[0].message, Level.ERROR)
        raise over[0]
    return ended
