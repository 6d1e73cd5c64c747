"""Build a project's own extension modules (C, C++, Cython), which its ``setup.py`` describes, beside their sources."""

from __future__ import annotations

import ast
import posixpath
import re
from dataclasses import replace
from typing import Final

from preview.detection.plan import StartPlan, Step, Toolchain
from preview.sources import Sources

_STEP: Final = "extension"
_DESCRIBES: Final = re.compile(rb"\bext_modules\s*=")
# What a `setup.py` imports to build, by the package that brings it.
_TOOLS: Final = {
    "setuptools": "setuptools",
    "Cython": "cython",
    "pybind11": "pybind11",
    "numpy": "numpy",
    "cffi": "cffi",
}


def with_extension(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a step that builds the project's extension modules; unchanged if it has none."""
    folders = dict.fromkeys((plan.manifests, plan.directory, "."))
    files = (posixpath.normpath(f"{folder}/setup.py") for folder in folders)
    file = next((one for one in files if sources.has_file(one)), None)
    if plan.toolchain is not Toolchain.PYTHON or file is None or not _DESCRIBES.search(sources.text(file)):
        return plan
    imported = {name.partition(".")[0] for node in sources.nodes(file) for name in _imported(node)}
    tools = [package for module, package in _TOOLS.items() if module in imported or module == "setuptools"]
    step = Step(
        _STEP,
        ("python", "setup.py", "build_ext", "--inplace"),
        posixpath.dirname(file) or ".",
        f"{file} describes modules that have to be compiled",
    )
    requirements = tuple(dict.fromkeys((*plan.extra_requirements, *tools)))
    return replace(plan, steps=(step, *plan.steps), extra_requirements=requirements)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
