"""What every preview needs and none owns."""

from __future__ import annotations

from dataclasses import dataclass, field

from preview.environments import EnvironmentCache
from preview.environments.node import NodeEnvironmentCache
from preview.generations import GenerationSource
from preview.logs import LogWriter
from preview.runtime import Runtime
from preview.runtime.cgroups import Door
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore
from preview.supervisor.known_starts import KnownStarts
from preview.supervisor.study import Studies
from preview.supervisor.turns import Turns
from preview.supervisor.watch_disk import Watchers

__all__ = ["House"]


@dataclass(frozen=True, slots=True)
class House:
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
    studies: Studies
    pending: dict[str, PreviewRecord] = field(default_factory=dict)
    disk_watchers: Watchers = field(default_factory=Watchers)
    known: KnownStarts = field(default_factory=KnownStarts)
    reading: Turns = field(default_factory=Turns)
    starting: Turns = field(default_factory=Turns)
    door: Door | None = None
