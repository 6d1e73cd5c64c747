"""What uv is told to install: its command line, and the files that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from preview.environments.requirements.requirements import RequirementSet

# Building one of these takes minutes, or a compiler that is not there: the next version with a wheel is taken.
_WHEELS_ONLY: Final = (
    "aiohttp", "asyncpg", "bcrypt", "blis", "cffi", "cryptography", "fiona", "gevent", "greenlet", "grpcio", "h5py",
    "httptools", "llvmlite", "lxml", "matplotlib", "numba", "numpy", "opencv-contrib-python", "opencv-python",
    "opencv-python-headless", "orjson", "pandas", "pillow", "polars", "psycopg2", "psycopg2-binary",
    "pyarrow", "pydantic-core", "pymssql", "pyyaml", "rpds-py", "scikit-image", "scikit-learn", "scipy", "shapely",
    "spacy", "statsmodels", "tensorflow", "thinc", "tiktoken", "tokenizers", "torch", "ujson", "uvloop",
    "watchfiles", "yarl",
)  # fmt: skip


def write_arguments(
    temporary: Path, required: RequirementSet, server: str | None, *, runs_code: bool
) -> list[str] | None:
    """Write the files for the installer; what it is to install, or None for nothing. Blocks on the disk.

    Args:
        temporary: The environment's folder, with an interpreter in it.
        required: What is to be installed.
        server: The server's requirement line, or None.
        runs_code: Whether code of packages may run.

    Raises:
        OSError: The disk did not take them.
    """
    lines = [item.text for item in required.requirements]
    if server is not None:
        lines.append(server)
    if not lines:
        return None
    wanted = temporary / "requirements.txt"
    wanted.write_text("\n".join(lines) + "\n", "utf-8")
    arguments = ["--no-sources", "--requirement", str(wanted), *_builds(required, runs_code=runs_code)]
    if required.constraints:
        constraints = temporary / "constraints.txt"
        constraints.write_text("\n".join(item.text for item in required.constraints) + "\n", "utf-8")
        arguments += ["--constraint", str(constraints)]
    if required.prerelease:
        arguments.append("--prerelease=allow")
    return arguments


def _builds(required: RequirementSet, *, runs_code: bool) -> list[str]:
    """What may be built."""
    if not runs_code:
        # Without the project's own options: --no-binary of one package wins over --no-build of all.
        return ["--no-build"]
    if "--no-binary" in required.options:
        return list(required.options)
    return [*required.options, *(word for name in _WHEELS_ONLY for word in ("--only-binary", name))]
