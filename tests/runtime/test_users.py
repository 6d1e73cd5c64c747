"""Whose user a preview has, and what keeps two previews apart: their users; where they share one, all the rest.

The attacks come first: from inside a preview, and from outside by a process of its user that sees what the service
sees.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import trio
from runtime_kit import open_driver, sandbox_or_skip

from preview.runtime.sandbox.users import FIRST_UID, give

_DRIVER = str(Path(__file__).with_name("two_previews_driver.py"))
_ENTER = [sys.executable, str(Path(__file__).with_name("enter_range.py"))]
_IS_ROOT = os.geteuid() == 0
_AS_ROOT = pytest.mark.skipif(not _IS_ROOT, reason="only root makes such a root of a container")
_ONE = ["unshare", "--user", "--map-root-user", "--"]

# The command that makes the service this kind of user.
_RANGE = [*_ENTER, "65535"] if _IS_ROOT else ["unshare", "--map-root-user", "--map-auto", "--mount", "--"]
_FEW = [*_ENTER, "1000"]
_LESS = ["setpriv", "--bounding-set=-sys_admin", "--"]

WARMTH = pytest.mark.parametrize("runtime", ["sandbox", "warm"])
OWN = pytest.mark.parametrize(
    "service", [pytest.param("here", marks=_AS_ROOT, id="root"), pytest.param("range", id="root of a range")]
)
SHARED = pytest.mark.parametrize(
    "service",
    [
        pytest.param("here", marks=pytest.mark.skipif(_IS_ROOT, reason="an ordinary user's test"), id="a user"),
        pytest.param("one", id="root of one id"),
        pytest.param("few", id="root of few ids"),
        pytest.param("less", id="root that may not mount"),
    ],
)
_WAYS = {"here": [], "range": _RANGE, "one": _ONE, "few": _FEW, "less": _LESS}


def way_of(service: str, runtime: str) -> list[str]:
    """The command that makes the service so; skips where it is not possible here."""
    way = _WAYS[service]
    if not _IS_ROOT and service in ("few", "less"):
        pytest.skip("only root makes such a root of a container")
    if _IS_ROOT and service in ("one", "few", "less") and runtime == "warm":
        pytest.skip("starts are cold where previews are the machine's root outside of their sandbox")
    if way and subprocess.run([*way, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"no {way[0]} here that does it: {' '.join(way)}")
    return way


@lru_cache(maxsize=16)
def told(service: str, runtime: str) -> dict[str, Any]:
    argv = [*way_of(service, runtime), sys.executable, _DRIVER, runtime]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert said.returncode == 0, said.stderr[-3000:]
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


@pytest.fixture(autouse=True)
def where_sandboxes_work() -> None:
    sandbox_or_skip()


@WARMTH
@OWN
def test_a_preview_that_sees_all_that_the_service_sees_gets_nothing_of_another(service: str, runtime: str) -> None:
    """As if its namespaces had failed: by its user alone it may not read, signal or trace."""
    said = told(service, runtime)
    assert said["outside"], said
    assert {name: how for name, how in said["outside"].items() if how == "done"} == {}
    ours = ("folder", "file", "signal", "trace", "memory", "variables", "root")
    assert {said["outside"][name] for name in ours} == {"EACCES", "EPERM"}
    assert said["alive"]


@WARMTH
@pytest.mark.parametrize("service", list(_WAYS))
def test_a_preview_reaches_nothing_of_another_from_inside(service: str, runtime: str) -> None:
    said = told(service, runtime)
    assert {name: how for name, how in said["inside"].items() if how == "done"} == {}
    assert len(said["inside"]) == 12
    assert said["alive"]


@WARMTH
@pytest.mark.parametrize("service", list(_WAYS))
def test_two_previews_and_the_service_share_no_namespace_and_no_right(service: str, runtime: str) -> None:
    said = told(service, runtime)
    for one, other in combinations([said["service"], *said["previews"]], 2):
        assert not {*one["namespaces"]} & {*other["namespaces"]}
    for preview in said["previews"]:
        assert len(preview["namespaces"]) == 6
        assert preview["capabilities"] == ["0" * 16]
        assert (preview["new privileges"], preview["filter"]) == ("1", "2")


@WARMTH
@OWN
def test_each_preview_has_the_user_of_its_port(service: str, runtime: str) -> None:
    said = told(service, runtime)
    first = FIRST_UID if service == "here" else 0
    users = [first + 5001, first + 5002]
    assert said["owners"] == users
    assert [one["user"] for one in said["previews"]] == [[user, user] for user in users]


@WARMTH
@SHARED
def test_where_there_are_too_few_users_all_have_the_services(service: str, runtime: str) -> None:
    said = told(service, runtime)
    service_user = said["service"]["user"]
    assert [one["user"] for one in said["previews"]] == [service_user] * 2
    assert said["owners"] == [service_user[0]] * 2


@WARMTH
@pytest.mark.parametrize("service", [name for name in _WAYS if name != "here"])
async def test_nothing_is_left_of_a_preview_after_the_service_is_killed(
    service: str, runtime: str, project: Path
) -> None:
    """Its user may not signal others; the kernel ends them without asking."""
    way = way_of(service, runtime)
    async with open_driver([*way, sys.executable], runtime, project, "IGNORE_TERM") as driver:
        descriptors = [os.pidfd_open(pid) for pid in driver.told["pids"]]
        assert len(descriptors) >= 2
        os.kill(driver.told["service"], signal.SIGKILL)
        for descriptor in descriptors:
            with trio.fail_after(30):
                await trio.lowlevel.wait_readable(descriptor)
            os.close(descriptor)
    # The folder belongs to an id of the range: an ordinary user's pytest could not remove it in the end.
    await trio.run_process([*way, "rm", "-r", str(project)])


@pytest.mark.parametrize("folder", ["/", "/etc", "/var/lib/../../etc"])
def test_no_folder_of_the_machine_is_given_to_a_preview(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fwalk", lambda *_, **__: pytest.fail("it was walked"))
    monkeypatch.setattr(os, "chown", lambda *_, **__: pytest.fail("it was given"))
    with pytest.raises(PermissionError):
        give([Path(folder)], 2_000_000_000)
