"""Only what the kernel has shown to be the service's may be moved or killed: no number passes for it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from runtime_kit import open_descriptors

import preview
from preview.runtime import proctree, verified
from preview.runtime.cgroups import Cgroup
from preview.runtime.verified import NotVerified, OpenProcess, VerifiedProcess, verify
from preview.runtime.warm.process import Fork

PACKAGE = Path(preview.__file__).parent
# Who may have a process verified, and so say what it has to be.
MAKERS = {"runtime/warm/origin.py"}


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]) as process:
        try:
            yield process
        finally:
            process.kill()


def modules_with(text: str) -> set[str]:
    """Modules of the product in which this stands."""
    return {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if text in path.read_text("utf-8")}


def test_nothing_else_makes_a_verified_process() -> None:
    home = {str(Path(verified.__file__).relative_to(PACKAGE))}
    assert modules_with("OpenProcess(") | modules_with("VerifiedProcess(") == home
    assert modules_with("_MAKER)") == home
    assert modules_with("signal.pidfd_send_signal(") == {*home, "runtime/proctree.py"}
    imports = [
        (module, alias.name)
        for module in modules_with("verified")
        for node in ast.walk(ast.parse((PACKAGE / module).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("preview.runtime", "preview.runtime.verified")
        for alias in node.names
    ]
    assert "verified" not in {name for _, name in imports}
    assert {module for module, name in imports if name == "verify"} == MAKERS


def test_none_is_made_without_the_modules_own_mark() -> None:
    identity = proctree.identify(os.getpid())
    assert identity is not None
    with pytest.raises(TypeError):
        VerifiedProcess(identity, object())  # type: ignore[arg-type]  # the point


def refused_by_the_type_checker(group: Cgroup, pidfd: int) -> None:
    """Never called: the type checker fails on an ignore that nothing needs, so where a number would do."""
    group.enter(os.getpid())  # type: ignore[arg-type]
    group.enter(pidfd)  # type: ignore[arg-type]
    Fork(pidfd, pidfd, group)  # type: ignore[arg-type]


@pytest.mark.parametrize("pid", [0, -1, 2**22, 2**31 - 1])
def test_a_number_that_is_nobodys_is_refused(pid: int) -> None:
    before = open_descriptors()
    with pytest.raises(NotVerified):
        verify(pid, lambda _pid: None)
    assert open_descriptors() <= before


def test_the_service_itself_is_refused_whatever_is_found_of_it() -> None:
    with pytest.raises(NotVerified, match="names the service itself"):
        verify(os.getpid(), lambda _pid: None)


def test_what_has_a_fault_or_cannot_be_looked_at_is_refused_and_unharmed() -> None:
    before = open_descriptors()
    with sleeper() as process:
        with pytest.raises(NotVerified, match="it is blue"):
            verify(process.pid, lambda _pid: "it is blue")

        def fails(_pid: int) -> str:
            raise PermissionError

        with pytest.raises(NotVerified, match="cannot be looked at"):
            verify(process.pid, fails)
        assert process.poll() is None
    assert open_descriptors() <= before


def test_what_ends_while_it_is_looked_at_is_refused() -> None:
    """Its number may be another's by the time it is looked at."""
    with sleeper() as process:

        def ends(_pid: int) -> None:
            process.kill()
            process.wait()

        with pytest.raises(NotVerified, match="ended"):
            verify(process.pid, ends)


def test_a_kill_ends_that_process_and_none_that_has_its_number_later() -> None:
    with sleeper() as process, closing(verify(process.pid, lambda _pid: None)) as one:
        assert isinstance(one, OpenProcess)
        assert not one.has_ended
        with closing(one.dup()) as same:
            same.kill()
            process.wait()
        assert one.has_ended
        one.kill()
