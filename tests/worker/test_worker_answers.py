"""An answer that a taken-over worker forges says no more than the project's own files could have said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from preview.detection import ServiceKind, ServiceNeed, Step
from preview.environments.imports.scan import Wanted
from preview.environments.requirements.requirements import ProjectRequirement, parse_requirement
from preview.worker import Analysis, analyse
from preview.worker.checks import Forged, check_analysis

REQUIREMENTS = """\
--no-binary numpy
fastapi[standard]>=0.100,<1 ; python_version >= "3.8"
six==1.16.0 --hash=sha256:1e61c37477a1626458e36f7b1d82aa5c9b094fa4802892072e49de9c60c4c926
./vendored
tiny @ git+https://example.com/tiny.git@v1
"""


@pytest.fixture
def found(project: Path) -> Analysis:
    (project / "requirements.txt").write_text(REQUIREMENTS)
    (project / "vendored").mkdir()
    (project / "vendored" / "pyproject.toml").write_text('[project]\nname = "vendored"\nversion = "1"\n')
    return analyse(project, None)


def with_requirement(found: Analysis, text: str, name: str | None = "x") -> Analysis:
    assert found.asked is not None
    forged = ProjectRequirement(text, name, frozenset(), False, "requirements.txt line 1", text)
    required = replace(found.asked.required, requirements=(forged,))
    return replace(found, asked=replace(found.asked, required=required))


def with_options(found: Analysis, *options: str) -> Analysis:
    assert found.asked is not None
    return replace(found, asked=replace(found.asked, required=replace(found.asked.required, options=options)))


def test_what_a_project_can_say_passes(found: Analysis, project: Path) -> None:
    assert found.asked is not None
    assert len(found.asked.required.requirements) == 4
    assert check_analysis(found, project) is found


@pytest.mark.parametrize("path", ["/etc", "..", "../other", "a/../../b", "a\0b"])
@pytest.mark.parametrize("place", ["directory", "manifests", "python_path", "file", "app_dir", "step"])
def test_a_path_outside_the_project_does_not(found: Analysis, project: Path, place: str, path: str) -> None:
    plan = found.plan
    assert plan.target is not None
    forged = {
        "directory": lambda: replace(plan, directory=path),
        "manifests": lambda: replace(plan, manifests=path),
        "python_path": lambda: replace(plan, python_path=(".", path)),
        "file": lambda: replace(plan, target=replace(plan.target, file=path)),
        "app_dir": lambda: replace(plan, target=replace(plan.target, app_dir=path)),
        "step": lambda: replace(plan, steps=(Step("build", ("true",), path, "why"),)),
    }[place]()
    with pytest.raises(Forged):
        check_analysis(replace(found, plan=forged), project)


@pytest.mark.parametrize(
    "text",
    [
        "/etc", "/etc/passwd[extra]", "x @ file:///etc", "x @ file:///etc/%2e%2e/etc", "x @ git+file:///srv/secret",
        "x @ https://example.com/${TOKEN}", "six\n--index-url http://evil", "six --index-url=http://evil",
        "--index-url http://evil", "-e /etc", "six --hash=sha256:00 --index-url=http://evil", "no requirement at all !",
        "six\r-r /etc/passwd", "x @ file:relative", "x @ svn+ssh://example.com/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x", None])
def test_a_requirement_that_no_file_could_have_does_not(
    found: Analysis, project: Path, text: str, name: str | None
) -> None:
    with pytest.raises(Forged):
        check_analysis(with_requirement(found, text, name), project)


@pytest.mark.parametrize(
    "options",
    [("--index-url", "http://evil"), ("--no-binary",), ("--no-binary", "--index-url=x"), ("--no-binary", "a\nb")],
)
def test_an_option_that_no_file_could_have_does_not(found: Analysis, project: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(Forged):
        check_analysis(with_options(found, *options), project)


def _server(found: Analysis) -> Analysis:
    assert found.asked is not None
    return replace(found, asked=replace(found.asked, server="evil-server"))


def _wanted(found: Analysis) -> Analysis:
    assert found.asked is not None
    wanted = Wanted("x", "x @ file:///etc", "main.py", "imports x")
    return replace(found, asked=replace(found.asked, wanted=(wanted,)))


def _constraint(found: Analysis) -> Analysis:
    assert found.asked is not None
    item = replace(parse_requirement("six", "x"), text="six\n-r /etc/passwd")
    return replace(found, asked=replace(found.asked, required=replace(found.asked.required, constraints=(item,))))


def _import(found: Analysis) -> Analysis:
    assert found.asked is not None
    return replace(found, asked=replace(found.asked, imports=(("os", ""), ("x; evil", ""))))


@pytest.mark.parametrize("forge", [_server, _wanted, _constraint, _import])
def test_nothing_else_that_is_installed_does(
    found: Analysis, project: Path, forge: Callable[[Analysis], Analysis]
) -> None:
    with pytest.raises(Forged):
        check_analysis(forge(found), project)


def test_a_server_that_the_preview_does_not_get_is_not_claimed(found: Analysis, project: Path) -> None:
    need = ServiceNeed(ServiceKind.REDIS, None, "main.py:1", supplied=True)
    claimed = replace(found, plan=replace(found.plan, services=(need,)))
    assert check_analysis(claimed, project, frozenset({ServiceKind.REDIS})) is claimed
    with pytest.raises(Forged):
        check_analysis(claimed, project, frozenset({ServiceKind.POSTGRESQL}))
