"""Where forks cannot be given what a cold start gives, no template is made, and each start says why it is cold."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import child_programs as programs
import pytest
from runtime_kit import open_driver, read_all, unprivileged_python
from runtime_warm import make_environment, open_warm

from preview.runtime import SandboxRuntime, child_subreaper
from preview.runtime.warm import eligibility


def refuse(folder: Path) -> int:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(folder))


async def test_where_mounts_are_refused_starts_are_cold_and_no_template_is_made(
    sandbox_here: SandboxRuntime, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eligibility, "detached_mount", refuse)
    told: list[str] = []
    spec = make_environment(tmp_path / "environment", {}).spec(programs.HELLO, project, told)
    with child_subreaper():
        async with open_warm(sandbox_here) as warm:
            warm.prepare(spec)
            async with warm.open_process(spec) as process:
                assert "hello" in await read_all(process)
            assert not warm.templates._slots
    why = "a service that is not root may not hand folders to forks (Operation not permitted)"
    assert told == [f"started cold: {why}"]


def test_root_without_users_to_give_has_no_templates(
    sandbox_here: SandboxRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a fork would be root outside of its sandbox."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert eligibility.why_never(replace(sandbox_here.parts, own_users=False)) is not None


def test_where_connections_are_carried_there_are_no_templates(sandbox_here: SandboxRuntime) -> None:
    assert eligibility.why_never(replace(sandbox_here.parts, fences=False)) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
async def test_a_service_that_is_not_root_says_so(sandbox_here: SandboxRuntime, project: Path) -> None:
    os.chown(project, 65534, 65534)
    for folder in (project, *(one for one in project.parents if one.stat().st_mode & 0o777 == 0o700)):
        folder.chmod(0o755)
    async with open_driver(unprivileged_python(), "warm", project, "IGNORE_TERM") as driver:
        assert "not root" in driver.told["refused"]
