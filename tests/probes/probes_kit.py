"""Backends with seeded bugs, and what a probe must find in each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

HERE = Path(__file__).resolve().parent
PROJECTS = HERE / "projects"


@dataclass(frozen=True)
class Bug:
    """A seeded bug; a finding of any of the kinds at the endpoint shows it. One that is known to be missed may be."""

    what: str
    endpoint: str
    kinds: tuple[str, ...]
    is_found: bool = True


def seeded() -> dict[str, tuple[Bug, ...]]:
    """The bugs of each backend."""
    found = tomllib.loads((HERE / "expected.toml").read_text("utf-8"))
    return {
        name: tuple(
            Bug(bug["what"], bug["endpoint"], tuple(bug["kinds"]), bug.get("is_found", True)) for bug in facts["bugs"]
        )
        for name, facts in found.items()
    }


def missed(bugs: Sequence[Bug], probe: Mapping[str, Any]) -> list[Bug]:
    """The bugs that no finding shows."""
    shown = {(f"{one['method']} {one['path']}", one["kind"]) for one in probe["findings"]}
    return [bug for bug in bugs if not any((bug.endpoint, kind) in shown for kind in bug.kinds)]


async def probe(client: Any, generation_id: str, *, seconds: float = 30, longest_s: float = 300) -> dict[str, Any]:
    """Probe a generation, and return the result."""
    path = f"/api/v1/generations/{generation_id}/preview/probe"
    started = await client.post(path, json={"seconds": seconds})
    assert started.status_code == 202, started.text
    with trio.fail_after(longest_s):
        while True:
            found: dict[str, Any] = (await client.get(path)).json()
            if found["state"] in ("done", "failed"):
                return found
            await trio.sleep(0.2)
