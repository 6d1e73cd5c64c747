"""Lay the module ``env`` that version control leaves out: it only sets variables, which a preview has anyway."""

from __future__ import annotations

import ast
import posixpath
import re
from dataclasses import replace
from typing import Final

from preview.detection.plan import StartPlan, Step, Toolchain
from preview.sources import Sources

_IGNORES: Final = re.compile(rb"^[ \t]{0,8}/?(?:\*\*/)?env\.py\b", re.MULTILINE)
_USES: Final = re.compile(rb"\benv\s{0,4}[.\[(]")
_IMPORTS: Final = re.compile(rb"^import env\b", re.MULTILINE)


def with_env_module(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a step that makes an empty ``env.py``; unchanged if nothing imports one, or it is there."""
    if plan.toolchain is not Toolchain.PYTHON or any(
        posixpath.basename(name) == "env.py" and not name.endswith(("migrations/env.py", "alembic/env.py"))
        for name in sources.names
    ):
        return plan
    ignored = [name for name in sources.all_names if posixpath.basename(name) == ".gitignore"][:5]
    if not any(_IGNORES.search(sources.text(name)) for name in ignored):
        return plan
    file = next((name for name in sources.names if _imports(sources, name)), None)
    if file is None:
        return plan
    folder = plan.python_path[0] if plan.python_path else plan.directory
    why = f"{file} imports it, version control leaves it out, and the variables that it sets are set"
    step = Step("env.py", ("python", "-c", "open('env.py','a')"), folder, why)
    return replace(plan, steps=(step, *plan.steps))


def _imports(sources: Sources, name: str) -> bool:
    """Return whether a file imports ``env`` unconditionally, and uses nothing of it."""
    text = sources.text(name)
    tree = sources.tree(name) if _IMPORTS.search(text) and not _USES.search(text) else None
    return tree is not None and any(
        isinstance(node, ast.Import) and any(alias.name == "env" for alias in node.names) for node in tree.body
    )
