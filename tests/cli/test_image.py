"""The image of the service: its build copies what the package includes, and it runs as an ordinary user.

docs/containers.md has a transcript of a build. It needs an engine and a Debian, and takes minutes.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def test_the_build_copies_all_that_the_package_includes() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {one.partition("/")[0] for one in (*build["packages"], *build["force-include"])} | {"pyproject.toml"}
    copied = {word for line in LINES if line.startswith("COPY ") for word in line.split()[1:-1]}
    assert needed <= copied


def test_the_service_is_an_ordinary_user_and_root_only_in_the_build() -> None:
    users = [line for line in LINES if line.startswith("USER ")]
    assert users == ["USER 10001"]
    after = LINES[LINES.index("USER 10001") :]
    assert not any(line.startswith(("RUN ", "COPY ", "ADD ")) for line in after)
    assert {"HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "VOLUME"} <= {line.partition(" ")[0] for line in after}
    assert not re.search(r"(?i)password|secret|token", "\n".join(LINES))
