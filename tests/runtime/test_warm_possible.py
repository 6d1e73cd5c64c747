"""Where forks cannot be given what a cold start gives, no template is made, and each start says why it is cold."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import child_programs as programs
import pytest
import trio
from runtime_kit import open_driver, read_all, unprivileged_python
from runtime_warm import make_environment, open_warm

from preview.runtime import SandboxRuntime, child_subreaper
from preview.runtime.broker import NoBroker
from preview.runtime.sandbox import runtime as sandbox_runtime
from preview.runtime.warm.eligibility import why_never


async def refuse(folder: Path) -> int:
    await trio.lowlevel.checkpoint()
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(folder))


@pytest.mark.parametrize("broker", [None, NoBroker("nobody may make user namespaces")], ids=["refused", "no broker"])
async def test_where_mounts_are_refused_starts_are_cold_and_no_template_is_made(
    sandbox_here: SandboxRuntime,
    tmp_path: Path,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    broker: NoBroker | None,
) -> None:
    monkeypatch.setattr(sandbox_runtime, "_mount", refuse)
    parts = sandbox_here.parts
    refused = SandboxRuntime(parts.etc, own_users=parts.own_users, broker=broker)
    told: list[str] = []
    spec = make_environment(tmp_path / "environment", {}).spec(programs.HELLO, project, told)
    with child_subreaper():
        async with open_warm(refused) as warm:
            warm.prepare(spec)
            async with warm.open_process(spec) as process:
                assert "hello" in await read_all(process)
            assert not warm.templates._slots
    why = str(broker or "folders cannot be handed to forks (Operation not permitted)")
    assert told == [f"started cold: {why}"]


async def test_root_without_users_to_give_has_no_templates(sandbox_here: SandboxRuntime) -> None:
    """Else a fork would be root outside of its sandbox, with a ``/proc`` that root may write to."""
    why = await why_never(replace(sandbox_here.parts, own_users=False, is_root=True))
    assert why is not None
    assert "no separate users" in why


async def test_where_connections_are_carried_there_are_no_templates(sandbox_here: SandboxRuntime) -> None:
    assert await why_never(replace(sandbox_here.parts, can_share_port=False)) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
async def test_a_service_without_rights_starts_warm(sandbox_here: SandboxRuntime, project: Path) -> None:
    """The driver fails where its program was not forked."""
    os.chown(project, 65534, 65534)
    for folder in (project, *(one for one in project.parents if one.stat().st_mode & 0o777 == 0o700)):
        folder.chmod(0o755)
    async with open_driver(unprivileged_python(), "warm", project, "IGNORE_TERM") as driver:
        assert driver.told.get("uid") == 65534, driver.told
