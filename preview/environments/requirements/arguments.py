"""Input for uv: its arguments, and the files that they name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement

# Building these takes minutes or needs a missing compiler, so only versions with a wheel are allowed.
_WHEELS_ONLY: Final = (
    "aiohttp", "asyncpg", "bcrypt", "blis", "cffi", "cryptography", "fiona", "gevent", "greenlet", "grpcio", "h5py",
    "httptools", "llvmlite", "lxml", "matplotlib", "numba", "numpy", "opencv-contrib-python", "opencv-python",
    "opencv-python-headless", "orjson", "pandas", "pillow", "polars", "psycopg-c", "psycopg2", "psycopg2-binary",
    "pyarrow", "pydantic-core", "pymssql", "pyyaml", "rpds-py", "scikit-image", "scikit-learn", "scipy", "shapely",
    "spacy", "statsmodels", "tensorflow", "thinc", "tiktoken", "tokenizers", "torch", "ujson", "uvloop",
    "watchfiles", "yarl",
)  # fmt: skip


def write_arguments(
    temporary: Path, required: RequirementSet, server: str | None, *, runs_code: bool
) -> list[str] | None:
    """Write the installer's files and return its arguments; None if there is nothing to install. Blocks on the disk.

    Raises:
        OSError: The disk reported an error.
    """
    lines = [item.text for item in required.requirements]
    if server is not None:
        lines.append(server)
    if not lines:
        return None
    wanted = temporary / "requirements.txt"
    wanted.write_text("\n".join(lines) + "\n", "utf-8")
    arguments = ["--no-sources", "--requirement", str(wanted), *build_options(required, runs_code=runs_code)]
    if required.constraints:
        constraints = temporary / "constraints.txt"
        constraints.write_text("\n".join(item.text for item in required.constraints) + "\n", "utf-8")
        arguments += ["--constraint", str(constraints)]
    overridden = [name for name, twin in _TWINS.items() if required.find(twin) and not required.find(name)]
    overridden += sorted(required.replaced)
    # What a package brings along: it is the same module, and has no wheel.
    instead = [f"{name} ; python_version < '3'\n" for name in overridden]
    limits = [one for one in (*required.requirements, *required.constraints) if one.origin.startswith(EXTRA)]
    instead += sorted({f"{one.text}\n" for one in limits if stands_in_spite(one.text)})
    if instead:
        overrides = temporary / "overrides.txt"
        overrides.write_text("".join(instead), "utf-8")
        arguments += ["--override", str(overrides)]
    if required.prerelease:
        arguments.append("--prerelease=allow")
    return arguments


def build_options(required: RequirementSet, *, runs_code: bool) -> list[str]:
    """Return arguments that limit builds."""
    if not runs_code:
        # Omit the project's own options: its --no-binary for one package would override --no-build for all.
        return ["--no-build"]
    if "--no-binary" in required.options:
        return list(required.options)
    return [*required.options, *(word for name in _WHEELS_ONLY for word in ("--only-binary", name))]


EXTRA: Final = "extra requirement"
"""Begin of the origin of a requirement that no manifest of the project has."""

IN_SPITE: Final = frozenset({"itsdangerous<2.1", "django<6,>=5.1"})
"""Limits that a failed start asks for, and that stand whatever else names the package.

Flask 2.3 and newer demand a newer itsdangerous, but work with this one. A required Django can be older than the
project's own code.
"""

ANY_VERSION: Final = ">0"
"""A limit that stands, too: the pinned version lacks what the project imports."""


# Packages without wheels, and the one with wheels that has the same modules.
_TWINS: Final = {"psycopg2": "psycopg2-binary"}
_MINORS: Final = range(8, 20)


def stands_in_spite(limit: str) -> bool:
    """Return whether a limit that a failed start asks for stands whatever else names the package."""
    return limit in IN_SPITE or limit.endswith(ANY_VERSION)


def as_for(required: RequirementSet, requires: str) -> RequirementSet:
    """Return the requirements with those markers removed that exclude this Python but not the project's oldest one.

    Some tools write ``python_version >= "3.12"`` after each line; this describes the project, not the line.
    """
    try:
        allowed = SpecifierSet(requires)
    except InvalidSpecifier:
        return required
    minor = next((number for number in _MINORS if allowed.contains(f"3.{number}.99", prereleases=True)), None)
    if minor is None:
        return required
    return replace(
        required,
        requirements=tuple(_freed(item, minor) for item in required.requirements),
        constraints=tuple(_freed(item, minor) for item in required.constraints),
    )


def _freed(item: ProjectRequirement, minor: int) -> ProjectRequirement:
    if item.applies:
        return item
    text, hashes, rest = item.text.partition(" --hash")
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        return item
    there = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0", "extra": ""}
    if parsed.marker is None or not parsed.marker.evaluate(there):
        return item
    parsed.marker = None
    return parse_requirement(str(parsed), item.origin, options=(f"{hashes}{rest}".strip(),) if hashes else ())
