"""Requirement lines that would lead the installer to the service's own disk or variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.environments.manifests.search import read_project
from preview.environments.requirements.requirements import parse_requirement
from preview.errors import EnvironmentFailed


@pytest.mark.parametrize(
    "line",
    [
        "x @ file:///etc",
        "x @ FILE:///etc",
        "x @ git+file:///srv/repo",
        "x @ Git+File:///srv/repo",
        "x @ /etc",
        "x @ https://example.com/${UV_INDEX_PASSWORD}/x.whl",
    ],
)
def test_an_address_on_the_services_own_machine_is_no_requirement(line: str) -> None:
    with pytest.raises(EnvironmentFailed):
        parse_requirement(line, "extra requirement 1")


@pytest.mark.parametrize("line", ["x @ FILE:///etc", "x @ git+file:///srv/repo", "-e git+file:///srv/repo#egg=x"])
def test_a_line_with_one_is_not_followed(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"flask\n{line}\n")
    found = read_project(tmp_path)
    assert [item.text for item in found.requirements] == ["flask"]
    assert "which the service does not follow" in found.unfollowed[0].sentence


@pytest.mark.parametrize(
    "address", ["https://example.com/x.whl", "git+https://example.com/u/r.git@v1", "git+ssh://git@h/u/r"]
)
def test_other_addresses_are_followed(address: str) -> None:
    assert parse_requirement(f"x @ {address}", "line 1").text == f"x @ {address}"


def test_behind_a_hash_there_is_no_option(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("flask==3 --hash=sha256:aa -r /etc/passwd --hash=sha256:bb -i x\n")
    assert [item.text for item in read_project(tmp_path).requirements] == ["flask==3 --hash=sha256:aa --hash=sha256:bb"]
