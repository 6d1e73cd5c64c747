"""Projects that start by their Dockerfile, and those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.detection import Overrides, Toolchain, detect
from preview.errors import InvalidGeneration

DOCKERFILE = "FROM golang\nHEALTHCHECK --interval=1s CMD curl -f http://localhost:${PORT}/healthz || exit 1\nCMD /app\n"


def test_a_project_that_nothing_else_starts_starts_by_its_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module x\n")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    plan = detect(tmp_path)
    assert (plan.framework, plan.toolchain, plan.isolation) == ("dockerfile", Toolchain.IMAGE, "container")
    assert plan.dockerfile is not None
    assert plan.dockerfile == "Dockerfile"
    assert plan.health_path == "/healthz"


def test_a_known_framework_goes_on_as_before_unless_asked_otherwise(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    assert detect(tmp_path).framework == "fastapi"
    plan = detect(tmp_path, Overrides(dockerfile="Dockerfile", command=("/app", "--port", "{port}")))
    assert plan.toolchain is Toolchain.IMAGE
    assert plan.command == ("/app", "--port", "{port}")


def test_a_missing_dockerfile_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidGeneration, match="there is no file docker/Dockerfile"):
        detect(tmp_path, Overrides(dockerfile="docker/Dockerfile"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("HEALTHCHECK --interval=1s \\\n  # a comment\n  CMD curl \\\n  http://localhost/up\n", "/up"),
        ("HEALTHCHECK CMD /check\nCMD echo http://localhost:80/elsewhere\n", None),
        ("HEALTHCHECK CMD curl http://localhost/old\nHEALTHCHECK NONE\n# see http://localhost/old\n", None),
    ],
)
def test_the_health_path_is_that_of_the_last_instruction_alone(tmp_path: Path, text: str, path: str | None) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM golang\n{text}")
    assert detect(tmp_path, Overrides(dockerfile="Dockerfile")).health_path == path
