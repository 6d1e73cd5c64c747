"""What every preview needs and none owns."""

from __future__ import annotations

from dataclasses import dataclass, field

from preview.environments import EnvironmentCache
from preview.environments.node import NodeEnvironmentCache
from preview.generations import GenerationSource
from preview.logs import LogWriter
from preview.runtime import Runtime
from preview.runtime.cgroups import MigrationLockWarmer
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore
from preview.supervisor.launch.project_analysis import AnalysisCache
from preview.supervisor.launch.start_history import StartHistory
from preview.supervisor.launch.start_queue import StartQueue
from preview.supervisor.limits.watch_disk import Watchers


@dataclass(frozen=True, slots=True)
class SupervisorContext:
    """Built once, by ``open_service``.

    Attributes:
        environments: Python's.
        node_environments: Node's.
        pending: Rows of ended previews that the database did not take, by id; the cleanup stores them. Bounded by
            how many previews can end while the database is away.
        disk_watchers: All that watch a preview's disk.
        studies: What was read of projects.
        known: What generations are started in.
        reading: Who may study a project now: that takes a processor.
        starting: Who may start its processes now.
        door: To the control groups, where the machine has them.
    """

    settings: Settings
    source: GenerationSource
    environments: EnvironmentCache
    node_environments: NodeEnvironmentCache
    runtime: Runtime
    store: PreviewStore
    writer: LogWriter
    analyses: AnalysisCache
    pending: dict[str, PreviewRecord] = field(default_factory=dict)
    disk_watchers: Watchers = field(default_factory=Watchers)
    known: StartHistory = field(default_factory=StartHistory)
    reading: StartQueue = field(default_factory=StartQueue)
    starting: StartQueue = field(default_factory=StartQueue)
    door: MigrationLockWarmer | None = None
