"""Hears an application's reports of requests at its own port, and makes such requests."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx2
import trio

from preview.supervisor import LivePreview
from preview.tracing import Trace
from preview.traffic import Draft

__all__ = ["Heard", "get", "trace_of"]


@dataclass
class Heard:
    """What a preview's application has reported."""

    drafts: list[Draft] = field(default_factory=list)
    came: trio.Event = field(default_factory=trio.Event)

    def take(self, _: int, draft: Draft) -> None:
        self.drafts.append(draft)
        came, self.came = self.came, trio.Event()
        came.set()

    async def wait(self, count: int) -> list[tuple[str, bytes, int]]:
        while len(self.drafts) < count:
            await self.came.wait()
        return [(draft.method, draft.target, draft.status) for draft in self.drafts]


async def get(preview: LivePreview, path: str, **headers: str) -> int:
    host, port = preview.socket_address
    async with httpx2.AsyncClient(timeout=30, verify=False) as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await client.get(f"http://{host}:{port}{path}", headers=named)).status_code


async def trace_of(preview: LivePreview, request_id: str) -> Trace:
    """Wait until the request's own span has come; it is the last one."""
    with trio.fail_after(30):
        while True:
            for trace in preview.traces.newest():
                if request_id in trace.request_ids:
                    return trace
            await trio.sleep(0.01)
