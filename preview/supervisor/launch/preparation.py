"""Preparation of a launch: write the files, analyse the project, open the environment. Reloads prepare again."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import trio

from preview.core.isolation import Network
from preview.detection import BUILD, MAKE_MIGRATIONS, StartPlan, Step
from preview.environments import Environment, Report
from preview.errors import InvalidGeneration, StartupTimeout
from preview.logs import Level
from preview.runtime import Runtime
from preview.supervisor.launch.planning import open_environment
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.shipped_data import FOR_NEW_DATABASE
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.steps import PreparedLaunch, run_steps
from preview.supervisor.launch.variables import (
    child_environment,
    keep_made_up,
    secret_values,
    tell_variables,
)
from preview.supervisor.launch.warming import Whose, warm_start
from preview.supervisor.launch.workspace import Workspace
from preview.supervisor.limits.watch_disk import DiskWatch
from preview.supervisor.preview.confinement import confinement_for
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.network import choose_network, tell_unreachable

# Builder messages among this many last lines are not logged again.
_TOLD_LINES = 1000

# Steps that migrate a database, and the files they read: such a step runs again only if one of these has changed.
DATABASE_STEPS = frozenset({"migrations", "tables", MAKE_MIGRATIONS})
_DATABASE_FOLDERS = frozenset({"migrations", "versions", "alembic", "migrate", "prisma", "seeders"})
_DATABASE_SUFFIXES = frozenset({".sql", ".prisma"})


async def write_files(preview: LivePreview, context: SupervisorContext, workspace: Workspace) -> None:
    """Write the generation's files into the preview's folder, within the start-up timeout.

    Raises:
        StartupTimeout: Writing took longer.

    Cancellation: some of the files may exist.
    """
    with trio.move_on_after(preview.startup_timeout_s) as scope:
        await context.source.write_files(preview.record.generation_id, workspace.project)
    if scope.cancelled_caught:
        raise StartupTimeout(
            f"The generation's files did not arrive within {preview.startup_timeout_s:g} s.",
            timeout_s=preview.startup_timeout_s,
        )


async def decide(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, *, is_still: bool
) -> ProjectAnalysis:
    """Analyse the project, within the start-up timeout. The read queue limits how many projects are read at once.

    Args:
        preview: The preview to launch.
        context: Caches earlier analyses.
        workspace: Folders with the project's files.
        is_still: True if none of the preview's processes runs yet; see ``AnalysisCache.analyse``.

    Raises:
        StartupTimeout: The analysis took longer.
        TooComplex, AnalysisFailed: The files cannot be read.

    Cancellation: the process that reads the files is killed.
    """
    async with context.read_queue.open_slot(is_urgent=preview.has_run):
        with trio.move_on_after(preview.startup_timeout_s):
            return await context.analyses.analyse(workspace.project, preview.overrides, is_still=is_still)
    raise StartupTimeout(
        f"The start plan was not ready within {preview.startup_timeout_s:g} s. Set it in preview.toml.",
        timeout_s=preview.startup_timeout_s,
    )


def tell_plan(preview: LivePreview, plan: StartPlan, before: StartPlan | None = None) -> None:
    """Log the plan's decisions, warnings and variables; with ``before``, only those that the earlier plan lacks."""
    told = () if before is None else before.decisions
    for decision in plan.decisions:
        if decision not in told:
            preview.log.say(decision)
    told = () if before is None else (*before.warnings, *tell_unreachable(preview.reach, before.services))
    for warning in (*plan.warnings, *tell_unreachable(preview.reach, plan.services)):
        if warning not in told:
            preview.log.say(warning, Level.WARNING)
    if before is None or tell_variables(plan) != tell_variables(before):
        for line in tell_variables(plan):
            # The application runs, and may fail later where it needs a real value.
            preview.log.say(line, Level.WARNING)


def report_to(preview: LivePreview, told: Container[str] = ()) -> Report:
    """Return a function that logs a builder's messages, callable from any thread; skips lines in ``told``."""

    def report(line: str, severity: int) -> None:
        if line in told:
            return
        say = partial(preview.log.say, line, Level(severity))
        # Builders also report from worker threads, where their disk work runs.
        if trio.lowlevel.in_trio_run():
            say()
        else:
            trio.from_thread.run_sync(say)

    return report


def whose(preview: LivePreview) -> Whose:
    """Return the owner and project of a preview."""
    return Whose(preview.record.user_id, preview.record.project_id)


def choose_runtime(context: SupervisorContext, plan: StartPlan) -> Runtime:
    """Return the runtime that the plan asks for, or the service's own.

    Raises:
        InvalidGeneration: The plan asks for a container, and the service has none.
    """
    wanted = plan.isolation if plan.dockerfile is None else "container"
    if wanted in (None, context.runtime.name):
        return context.runtime
    containers = context.runtimes.get("container")
    if containers is None and plan.dockerfile is not None:
        raise InvalidGeneration(
            f"Cannot launch: this project starts by its {plan.dockerfile}, and this service offers no "
            "containers. Let the operator set PREVIEW_CONTAINER_ENGINE, or say in preview.toml how it starts without: "
            '[start] command = "…".',
            reason="isolation_not_available",
            wanted=wanted,
        )
    if containers is None:
        raise InvalidGeneration(
            'Cannot launch: it asks for isolation = "container", and this service offers no containers. Take it out '
            "of preview.toml and the launch request, or let the operator set PREVIEW_CONTAINER_ENGINE.",
            reason="isolation_not_available",
            wanted=plan.isolation,
        )
    return containers


def prepare_launch(
    preview: LivePreview,
    context: SupervisorContext,
    workspace: Workspace,
    analysis: ProjectAnalysis,
    environment: Environment,
) -> PreparedLaunch:
    """Prepare a launch. Call this once per launch, as it generates secrets."""
    settings, plan = context.settings, analysis.plan
    variables = child_environment(settings, plan, environment, workspace, preview.record.port or 0)
    preview.log.hide(secret_values(plan, variables))
    return PreparedLaunch(
        settings=settings,
        runtime=choose_runtime(context, plan),
        plan=plan,
        workspace=workspace,
        environment=environment,
        variables=variables,
        network=Network.NONE if preview.confinement is None else preview.confinement.network,
        disk=DiskWatch(workspace.folders, settings, context.disk_watchers),
        warm=warm_start(settings, analysis, environment, whose(preview), preview.log.say),
        reaches=preview.supplied,
    )


class EnvironmentLeases:
    """Environments that reloads have opened. A task keeps each lease until no process uses the environment.

    Args:
        nursery: Must end after all processes that run in the environments.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._scopes: set[trio.CancelScope] = set()

    async def open(
        self, context: SupervisorContext, analysis: ProjectAnalysis, project: Path, report: Report, owner: str
    ) -> tuple[Environment, trio.CancelScope]:
        """Return an environment, and the scope that ends its lease.

        Raises:
            EnvironmentFailed: The environment could not be built; the message has the reason.

        Cancellation: the lease may last until ``release``.
        """
        opened: tuple[Environment, trio.CancelScope] = await self._nursery.start(
            self._hold, context, analysis, project, report, owner
        )
        return opened

    async def _hold(
        self,
        context: SupervisorContext,
        analysis: ProjectAnalysis,
        project: Path,
        report: Report,
        owner: str,
        *,
        task_status: trio.TaskStatus[tuple[Environment, trio.CancelScope]],
    ) -> None:
        async with open_environment(context, analysis, project, report, owner=owner) as environment:
            scope = trio.CancelScope(shield=True)
            self._scopes.add(scope)
            task_status.started((environment, scope))
            # If the caller was cancelled, ``start`` did not move this task into the nursery, and the task ends here.
            await trio.lowlevel.checkpoint()
            # From here on only the scope ends the lease, after the processes that use the environment.
            with scope:
                await trio.sleep_forever()
        self._scopes.discard(scope)

    def release(self, used: Iterable[PreparedLaunch] = ()) -> None:
        """Release all leases except those of the prepared launches in ``used``."""
        kept = [prepared.held for prepared in used]
        for scope in self._scopes:
            if scope not in kept:
                scope.cancel()


async def prepare_again(
    preview: LivePreview,
    context: SupervisorContext,
    before: PreparedLaunch,
    changed: Sequence[str],
    leases: EnvironmentLeases,
) -> PreparedLaunch:
    """Prepare again after a change of files: analyse, open the environment, run the steps that are due.

    Args:
        preview: The preview to reload.
        context: Provides environments and analyses.
        before: The prepared launch in use.
        changed: Changed paths, relative to the project.
        leases: Keeps the new environment leased.

    Raises:
        LaunchFailed, InvalidGeneration: The project cannot be started with these files.

    Cancellation: the running step is ended; the environment stays leased until ``EnvironmentLeases.release``.
    """
    workspace = before.workspace
    analysis = await decide(preview, context, workspace, is_still=False)
    plan = analysis.plan
    _choose_network(preview, context, plan)
    context.backing.want(plan.services)
    tell_plan(preview, plan, before.plan)
    told = frozenset(line.message for line in preview.log.last_lines(_TOLD_LINES))
    report, owner = report_to(preview, told), preview.record.user_id
    environment, held = await leases.open(context, analysis, workspace.project, report, owner)
    if environment.directory != before.environment.directory:
        preview.log.say(environment.said)
    prepared = prepare_launch(preview, context, workspace, analysis, environment)
    variables = keep_made_up(plan, prepared.variables, before.plan, before.variables)
    prepared = replace(prepared, variables=variables, held=held)
    plan = _with_makers(plan, before.plan, changed)
    prepared = replace(prepared, plan=plan)
    known = _known_steps(preview, plan, before.plan)
    steps = tuple(step for step in plan.steps if _is_due(step, known, changed))
    await run_steps(preview, replace(prepared, plan=replace(plan, steps=steps)))
    preview.mends.note_steps(steps)
    return prepared


def _known_steps(preview: LivePreview, plan: StartPlan, before: StartPlan) -> tuple[Step, ...]:
    """Return the steps that are not new to the preview's data.

    A start of the found application, in place of the project's own command, may follow each reload. The data is in use,
    so none of its commands for a new database runs.
    """
    mends = preview.mends
    if not mends.is_found_start:
        return before.steps
    found = (step for step in plan.steps if step.name in FOR_NEW_DATABASE or step in mends.found_steps)
    return (*before.steps, *found)


def _with_makers(plan: StartPlan, before: StartPlan, changed: Sequence[str]) -> StartPlan:
    """Keep the steps that make files: the analysis now finds migrations and build outputs, as if the project had them.

    A build is kept if a file below its folder has changed.
    """
    made = [step for step in before.steps if step not in plan.steps and _makes_again(step, changed)]
    return replace(plan, steps=(*made, *plan.steps)) if made else plan


def _makes_again(step: Step, changed: Sequence[str]) -> bool:
    below = "" if step.directory == "." else f"{step.directory}/"
    return step.name == MAKE_MIGRATIONS or (step.name == BUILD and any(path.startswith(below) for path in changed))


def _choose_network(preview: LivePreview, context: SupervisorContext, plan: StartPlan) -> None:
    """Apply the network that the changed files need; log the confinement if it differs.

    An attempt that failed may have changed it, so the process in use does not tell.
    """
    network = choose_network(context.settings, plan)
    runtime = choose_runtime(context, plan)
    confinement = confinement_for(context.settings, runtime, network)
    preview.supply(plan, confinement.network)
    shown = preview.confinement
    if shown is None or (confinement.network is shown.network and confinement.runtime == shown.runtime):
        return
    confinement.reached.extend(shown.reached)
    preview.confinement = confinement
    preview.log.say(confinement.sentence())


def _is_due(step: Step, before: tuple[Step, ...], changed: Sequence[str]) -> bool:
    """Return True if a step must run (again). Builds may read any file; migrations read only their own."""
    # The project's own commands may insert rows twice, or drop tables.
    if step.name in FOR_NEW_DATABASE:
        return step.argv not in [one.argv for one in before]
    if step not in before or step.name not in DATABASE_STEPS:
        return True
    paths = [PurePosixPath(path) for path in changed]
    if any(one.name == MAKE_MIGRATIONS for one in before):
        # Migrations are made from the models, so a change of a model is one of the migrations.
        return any(_is_migration(path) or "models" in (*path.parts[:-1], path.stem) for path in paths)
    return any(map(_is_migration, paths))


def _is_migration(path: PurePosixPath) -> bool:
    return path.suffix in _DATABASE_SUFFIXES or not _DATABASE_FOLDERS.isdisjoint(path.parts[:-1])
