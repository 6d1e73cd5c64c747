"""Makes a template in its own sandbox, which resembles a preview's, and its own control group."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from preview.core.isolation import Network
from preview.runtime.cgroups import Cgroup, CgroupTree
from preview.runtime.sandbox.filter import compile_filter
from preview.runtime.sandbox.runtime import SandboxRuntime
from preview.runtime.sandbox.view import View
from preview.runtime.warm.command import TemplateBox, template_view_paths
from preview.runtime.warm.pool import Bounds
from preview.runtime.warm.template_process import Template, open_template
from preview.runtime.warm.wanted import Wanted

# Room for forks that have not left the group yet; only packages that start processes need more.
_TEMPLATE_PROCESSES = 512
_TEMPLATE_CPU_CORES = 1.0
_TEMP_BYTES = 16 << 20
# The limit leaves slack, because the template's size is known only after its imports, which may need more.
_MEMORY_SLACK = 2


@asynccontextmanager
async def open_template_for(
    cold: SandboxRuntime, wanted: Wanted, bounds: Bounds, timeout_s: float
) -> AsyncIterator[Template]:
    """Open a template in its own sandbox and control group; see ``open_template``.

    Cancellation: the template is ended (bounded).
    """
    parts = cold.parts
    readable = template_view_paths((*wanted.readable, wanted.launchers))
    view = View(readable, (), parts.etc, Network.NONE, _TEMP_BYTES, covered=wanted.anchors)
    box = TemplateBox(
        view, own_users=parts.own_users, filter=compile_filter(for_template=True, also_allowed=parts.calls)
    )
    async with (
        _open_group(parts.groups, wanted.key, bounds) as group,
        open_template(box, wanted, group=group, timeout_s=timeout_s) as template,
    ):
        yield template


@asynccontextmanager
async def _open_group(groups: CgroupTree | None, key: str, bounds: Bounds) -> AsyncIterator[Cgroup | None]:
    """Open the template's control group; yields None without control groups."""
    if groups is None:
        yield None
        return
    async with groups.open(
        f"template-{key}-{secrets.token_hex(4)}",
        memory_bytes=_MEMORY_SLACK * bounds.memory_bytes,
        cpu_cores=_TEMPLATE_CPU_CORES,
        processes=_TEMPLATE_PROCESSES,
    ) as group:
        yield group
