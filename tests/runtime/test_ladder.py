"""Which rungs a machine holds, and what is said of those it does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from preview.core.isolation import Isolation, Network
from preview.errors import ConfigurationError, RootWithoutSandbox
from preview.runtime import IsolationLevel, child_subreaper, open_ladder
from preview.runtime.process import spawning
from preview.runtime.sandbox import command
from preview.runtime.sandbox.filter import compile_filter
from preview.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, cache_dir=tmp_path)


async def rungs(settings: Settings) -> dict[str, IsolationLevel]:
    with child_subreaper():
        async with open_ladder(settings, check=False) as ladder:
            return {rung.name: rung for rung in ladder.rungs}


async def test_what_is_wanted_plain_is_plain_and_says_so(settings: Settings) -> None:
    async with open_ladder(settings.model_copy(update={"isolation": Isolation.PLAIN})) as ladder:
        assert ladder.runtime.name == "plain"
        assert ladder.runtime.network(Network.NONE) is Network.HOST
    assert [rung.holds for rung in ladder.rungs] == [True, False, False]
    assert {rung.advice for rung in ladder.rungs[1:]} == {"set PREVIEW_ISOLATION=auto"}


@pytest.mark.usefixtures("sandbox")
async def test_a_machine_that_sandboxes_has_the_rung_and_keeps_the_network(settings: Settings) -> None:
    async with open_ladder(settings) as ladder:
        assert ladder.runtime.name == "sandbox"
        assert ladder.runtime.network(Network.NONE) is Network.NONE
    assert ladder.rungs[1].holds


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(spawning, "_TOOL_PATH", "/nowhere")
    spawning._find.cache_clear()
    yield
    spawning._find.cache_clear()


@pytest.mark.usefixtures("no_bubblewrap")
async def test_without_bubblewrap_it_says_what_to_install(settings: Settings) -> None:
    rung = (await rungs(settings))["sandbox"]
    assert not rung.holds
    assert "is not installed" in rung.found
    assert "bubblewrap" in rung.advice


@pytest.mark.usefixtures("no_bubblewrap")
@pytest.mark.parametrize(("isolation", "user", "starts"), [("auto", 0, False), ("auto", 1, True), ("trusted", 0, True)])
async def test_auto_gives_nobody_roots_rights(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, isolation: str, user: int, starts: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    wanted = settings.model_copy(update={"isolation": Isolation(isolation)})
    refused = None
    with child_subreaper():
        try:
            async with open_ladder(wanted) as ladder:
                assert ladder.runtime.name == "plain"
        except RootWithoutSandbox as error:
            refused = error.code
    assert refused == (None if starts else "root_without_sandbox")


async def test_what_may_not_be_allowed_besides_starts_nothing(settings: Settings) -> None:
    """In the trial it would only be a reason to do without the sandbox."""
    with pytest.raises(ConfigurationError, match="PREVIEW_SYSCALLS_ALLOWED names unshare"):
        await rungs(settings.model_copy(update={"syscalls_allowed": ("unshare",)}))


@pytest.mark.usefixtures("sandbox")
async def test_what_is_allowed_besides_is_said(settings: Settings) -> None:
    rung = (await rungs(settings.model_copy(update={"syscalls_allowed": ("ptrace", "kcmp")})))["sandbox"]
    assert (rung.holds, rung.found.rpartition("; ")[2]) == (True, "system calls allowed besides: kcmp, ptrace")


async def test_without_libseccomp_it_says_what_to_install(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_filter.cache_clear()
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    rung = (await rungs(settings))["sandbox"]
    assert (rung.holds, rung.found) == (False, "libseccomp is missing")
    assert "libseccomp2" in rung.advice


@pytest.fixture
def refused_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bubblewrap that says what the real one says under Ubuntu's AppArmor."""
    refused = tmp_path / "bwrap"
    refused.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    refused.chmod(0o755)
    real = spawning.tool
    monkeypatch.setattr(command, "tool", lambda name, *rest: str(refused) if name == "bwrap" else real(name, *rest))


@pytest.mark.usefixtures("refused_bubblewrap")
async def test_a_refused_bubblewrap_is_explained(settings: Settings) -> None:
    rung = (await rungs(settings))["sandbox"]
    assert (rung.holds, rung.found) == (False, "bubblewrap is refused (setting up uid map: Permission denied)")
    assert "AppArmor" in rung.advice


@pytest.mark.usefixtures("refused_bubblewrap")
async def test_what_is_required_and_missing_is_one_sentence_with_reason_and_advice(settings: Settings) -> None:
    required = settings.model_copy(update={"isolation": Isolation.REQUIRE})
    with pytest.raises(ConfigurationError, match=r"no sandbox, because bubblewrap is refused .*to do: .*AppArmor"):
        async with open_ladder(required):
            pass


@pytest.mark.usefixtures("refused_bubblewrap")
async def test_whoever_only_looks_is_told_of_what_is_required(settings: Settings) -> None:
    found = await rungs(settings.model_copy(update={"isolation": Isolation.REQUIRE}))
    assert not found["sandbox"].holds
