"""Readers of ``setup.cfg``, ``setup.py`` (parsed and never run), conda's ``environment.yml``, and Python lock files.

A conda file yields its pip part and the packages that the package index has too.

Sources: https://setuptools.pypa.io/en/latest/userguide/declarative_config.html
https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml
from packaging.utils import canonicalize_name

from preview.environments.manifests.manifest_files import Line, Manifest, as_table, load_toml, read_bytes, read_text
from preview.errors import EnvironmentFailed


def read_setup_cfg(folder: Path, source: str) -> Manifest:
    """Return ``install_requires`` and the extras of ``setup.cfg``.

    Raises:
        EnvironmentFailed: The file cannot be read.
    """
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(read_text(folder / "setup.cfg", source))
    except configparser.Error:
        return Manifest(source, notes=(f"{source} cannot be parsed",))
    extras = parser["options.extras_require"] if parser.has_section("options.extras_require") else {}
    return Manifest(
        source,
        _texts(parser.get("options", "install_requires", fallback=""), source),
        {name: _texts(text, f"{source} extra {name}") for name, text in extras.items()},
        parser.get("options", "python_requires", fallback="").strip() or None,
    )


def _texts(text: str, origin: str) -> tuple[Line, ...]:
    if text.strip().startswith("file:"):
        names = text.strip().removeprefix("file:").split(",")
        return tuple(Line(f"-r {name.strip()}", origin) for name in names if name.strip())
    lines = [line.partition(" #")[0].strip() for part in text.splitlines() for line in part.split(",\t")]
    return tuple(Line(line, origin) for line in lines if line and not line.startswith("#"))


def read_setup_py(folder: Path, source: str) -> Manifest:
    """Return ``install_requires`` and the extras in the call of ``setup``, if they are literals.

    Raises:
        EnvironmentFailed: The file cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(read_text(folder / "setup.py", source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Manifest(source, notes=(f"{source} cannot be parsed",))
    names = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) == "setup"]
    if not calls:
        return Manifest(source, notes=(f"{source} does not call setup()",))
    given = {word.arg: word.value for word in calls[0].keywords if word.arg}
    wanted = _value(given.get("install_requires"), names)
    extras = _value(given.get("extras_require"), names)
    python = _value(given.get("python_requires"), names)
    if "install_requires" in given and not isinstance(wanted, list | tuple):
        return Manifest(source, notes=(f"{source} computes its requirements, so they are not known",))
    return Manifest(
        source,
        _lines(wanted, source),
        {str(name): _lines(value, f"{source} extra {name}") for name, value in _mapping(extras).items()},
        python if isinstance(python, str) else None,
    )


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _value(node: ast.expr | None, names: Mapping[str, ast.expr]) -> object:
    """Return the value of a literal, of a variable with a literal value, or of a sum of lists; None otherwise."""
    for _ in range(5):
        if isinstance(node, ast.Name) and node.id in names:
            node = names[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _value(node.left, names), _value(node.right, names)
        return [*left, *right] if isinstance(left, list) and isinstance(right, list) else None
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None


def _lines(value: object, origin: str) -> tuple[Line, ...]:
    texts = value if isinstance(value, list | tuple) else ()
    return tuple(Line(text.strip(), origin) for text in texts if isinstance(text, str) and text.strip())


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, dict) else {}


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
# System programs and libraries, which wheels contain.
_NOT_PYTHON: Final = re.compile(
    r"python|pip|setuptools|wheel|nodejs|yarn|postgresql|sqlite|openssl|readline|ncurses|zlib|tk|xz|tzdata|git|make|"
    r"ca-certificates|certifi-system|vs\d*_?.*|vc|ucrt|libs?[a-z0-9_+.-]*|_.*|bzip2|ld_impl_.*|gcc.*|gxx.*|mkl.*|"
    r"intel-openmp|blas|cudatoolkit|cuda.*|cudnn|icu|jpeg|freetype|krb5|lz4-c|zstd|expat|gettext|glib|yaml|.*-c\+\+"
)
_DEPENDENCY: Final = re.compile(r"^(?:[\w-]+::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?P<rest>.*)$")


def read_conda(folder: Path, name: str, source: str) -> Manifest:
    """Return the Python requirements of a conda file.

    Raises:
        EnvironmentFailed: The file cannot be read.
    """
    try:
        content = as_table(yaml.safe_load(read_text(folder / name, source)))
    except (yaml.YAMLError, RecursionError, ValueError):
        return Manifest(source, notes=(f"{source} is not valid YAML",))
    found = content.get("dependencies")
    lines = tuple(Line(line, source) for line in _conda_lines(found if isinstance(found, list) else []))
    return Manifest(source, lines, notes=(f"{source} is for conda: its packages are taken from the package index",))


def _conda_lines(dependencies: list[object]) -> Iterator[str]:
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


_LOCKS: Final = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
_MAX_BYTES: Final = 8 * 1024 * 1024


def read_lock(folder: Path) -> tuple[str, dict[str, str]]:
    """Return the lock file's name and the version of each package; empty if there is none or it cannot be read.

    Packages with several versions (by platform or Python) are left out.
    """
    try:
        for name in _LOCKS:
            if (folder / name).is_file():
                return name, _single(_packages(load_toml(folder / name, name, lock=True)))
        if (folder / "Pipfile.lock").is_file():
            content = json.loads(read_bytes(folder / "Pipfile.lock", "Pipfile.lock", limit=_MAX_BYTES))
            return "Pipfile.lock", _single(_pipfile(content))
    except (EnvironmentFailed, ValueError, RecursionError):
        return "", {}
    return "", {}


def _packages(content: dict[str, object]) -> Iterator[tuple[str, str]]:
    for key in ("package", "packages"):
        found = content.get(key)
        for item in found if isinstance(found, list) else []:
            package = as_table(item)
            name, version, source = package.get("name"), package.get("version"), as_table(package.get("source"))
            # The version of a package from a folder or a repository means nothing to the index.
            elsewhere = source.keys() & {"git", "path", "directory", "editable", "virtual", "url", "reference"}
            if isinstance(name, str) and isinstance(version, str) and not elsewhere:
                yield name, version


def _pipfile(content: object) -> Iterator[tuple[str, str]]:
    for name, package in as_table(as_table(content).get("default")).items():
        version = as_table(package).get("version")
        if isinstance(version, str) and version.startswith("=="):
            yield name, version.removeprefix("==")


def _single(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for name, version in pairs:
        found.setdefault(canonicalize_name(name), set()).add(version)
    return {name: next(iter(versions)) for name, versions in found.items() if len(versions) == 1}
