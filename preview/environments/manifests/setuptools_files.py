"""``setup.cfg`` and ``setup.py``; the latter is parsed and never run.

Source: https://setuptools.pypa.io/en/latest/userguide/declarative_config.html
"""

from __future__ import annotations

import ast
import configparser
import warnings
from collections.abc import Mapping
from pathlib import Path

from preview.environments.manifests.reading import Line, Manifest, read_text


def read_setup_cfg(folder: Path, source: str) -> Manifest:
    """``install_requires`` and the extras of ``setup.cfg``.

    Raises:
        EnvironmentFailed: It cannot be read.
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
    """``install_requires`` and the extras of the call to ``setup``, where they are written out.

    Raises:
        EnvironmentFailed: It cannot be read.
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
    """What stands there, if it is written out; a name counts as what it is assigned, sums are joined."""
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
