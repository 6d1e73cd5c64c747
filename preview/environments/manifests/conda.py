"""``environment.yml`` of conda: its pip part, and names that the package index knows too.

Source: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from preview.environments.manifests.reading import Line, Manifest, as_table, read_text

_NAMES: Final = {
    "matplotlib-base": "matplotlib",
    "opencv": "opencv-python",
    "psycopg2": "psycopg2-binary",
    "py-opencv": "opencv-python",
    "pytables": "tables",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "redis-py": "redis",
    "uvicorn-standard": "uvicorn[standard]",
}
# Programs and libraries for the system, which wheels bring along.
_NOT_PYTHON: Final = re.compile(
    r"python|pip|setuptools|wheel|nodejs|yarn|postgresql|sqlite|openssl|readline|ncurses|zlib|tk|xz|tzdata|git|make|"
    r"ca-certificates|certifi-system|vs\d*_?.*|vc|ucrt|libs?[a-z0-9_+.-]*|_.*|bzip2|ld_impl_.*|gcc.*|gxx.*|mkl.*|"
    r"intel-openmp|blas|cudatoolkit|cuda.*|cudnn|icu|jpeg|freetype|krb5|lz4-c|zstd|expat|gettext|glib|yaml|.*-c\+\+"
)
_DEPENDENCY: Final = re.compile(r"^(?:[\w-]+::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?P<rest>.*)$")


def read_conda(folder: Path, name: str, source: str) -> Manifest:
    """What the file requires, as far as it is Python.

    Raises:
        EnvironmentFailed: It cannot be read.
    """
    try:
        content = as_table(yaml.safe_load(read_text(folder / name, source)))
    except (yaml.YAMLError, RecursionError, ValueError):
        return Manifest(source, notes=(f"{source} is no valid YAML",))
    found = content.get("dependencies")
    lines = tuple(Line(line, source) for line in _lines(found if isinstance(found, list) else []))
    return Manifest(source, lines, notes=(f"{source} is for conda: its packages are taken from the package index",))


def _lines(dependencies: list[object]) -> Iterator[str]:
    for item in dependencies:
        if isinstance(item, str):
            if line := _from_conda(item):
                yield line
        else:
            inner = as_table(item).get("pip")
            yield from (line for line in (inner if isinstance(inner, list) else []) if isinstance(line, str))


def _from_conda(text: str) -> str:
    match = _DEPENDENCY.match(text.strip())
    if match is None or _NOT_PYTHON.fullmatch(match["name"].lower()):
        return ""
    name = _NAMES.get(match["name"].lower(), match["name"])
    rest = match["rest"].strip()
    if rest.startswith("=") and not rest.startswith("=="):
        version = rest[1:].partition("=")[0].strip().removesuffix(".*").removesuffix("*")
        return f"{name}=={version}.*" if version.count(".") < 2 else f"{name}=={version}"
    return name + (rest if rest.startswith(("<", ">", "!", "~", "==")) and "|" not in rest else "")
