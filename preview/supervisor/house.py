"""What every preview needs and none owns."""

from __future__ import annotations

from dataclasses import dataclass, field

from preview.environments import EnvironmentCache
from preview.environments.node import NodeEnvironmentCache
from preview.generations import GenerationSource
from preview.logs import LogWriter
from preview.runtime import Runtime
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore

__all__ = ["House"]


@dataclass(frozen=True, slots=True)
class House:
    """Built once, by ``open_service``.

    Attributes:
        environments: Python's.
        node_environments: Node's.
        pending: Rows of ended previews that the database did not take, by id; the cleanup stores them. Bounded by
            how many previews can end while the database is away.
    """

    settings: Settings
    source: GenerationSource
    environments: EnvironmentCache
    node_environments: NodeEnvironmentCache
    runtime: Runtime
    store: PreviewStore
    writer: LogWriter
    pending: dict[str, PreviewRecord] = field(default_factory=dict)
