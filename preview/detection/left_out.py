"""Lay a module of settings that version control leaves out: ``env.py``, ``secret_keys.py``.

If nothing of it is used, it only sets variables, which a preview has anyway. Otherwise it gets the names that are asked
of it, each from the environment variable of the same name, with a placeholder.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from preview.detection.plan import StartPlan, Step, Toolchain
from preview.detection.settings import Kind, find_laid_modules, ignored_patterns, is_required, placeholder_for
from preview.sources import Sources

_IMPORTS: Final = re.compile(rb"^(?:import|from)[ \t]+(?P<name>[A-Za-z_]\w{0,60})\b", re.MULTILINE)
_CONSTANT: Final = re.compile(r"[A-Z][A-Z0-9_]{0,60}")
_MOST_FILES: Final = 500


def lay_modules(sources: Sources) -> tuple[Step, ...]:
    """Add missing modules of settings to the sources, and return the steps that write them."""
    for module in find_laid_modules(sources):
        sources.lay(module.path, module.text.encode(), module.why)
    write = "import os,sys;os.path.exists(sys.argv[1]) or open(sys.argv[1],'w').write(sys.argv[2])"
    return tuple(
        Step(name, ("python", "-c", write, name, sources.text(name).decode()), ".", why)
        for name, why in sources.laid.items()
    )


def with_left_out_modules(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a step for each module that ``.gitignore`` names, that files import, and that is missing."""
    patterns = ignored_patterns(sources)
    if plan.toolchain is not Toolchain.PYTHON or not patterns:
        return plan
    there = {
        part.removesuffix(".py")
        for name in sources.all_names
        if not name.endswith(("migrations/env.py", "alembic/env.py"))
        for part in name.split("/")
    }
    folder = plan.python_path[0] if plan.python_path else plan.directory
    files = [name for name in sources.names if name.endswith(".py")][:_MOST_FILES]
    missing = {
        module: name
        for name in reversed(files)
        for found in _IMPORTS.finditer(sources.text(name))
        if (module := found["name"].decode()) not in there
        and module not in sys.stdlib_module_names
        and any(fnmatch.fnmatchcase(f"{module}.py", one) for one in patterns)
    }
    for module, file in sorted(missing.items()):
        names = None if is_required(sources, module) else _names_of(sources, files, module)
        if names is None:
            continue
        variables = {
            one: placeholder_for(one, Kind.INTEGER if one.endswith("PORT") else Kind.TEXT)
            for one in names
            if one not in plan.variables
        }
        known = {**plan.variables, **variables}
        text = "".join(f"{one} = {_read(one, known[one].value)}\n" for one in names)
        text = f"import os\n{text}" if names else ""
        write = f"open('{module}.py','a')" + (f".write({text!r})" if text else "")
        asked = f" with {', '.join(names)}" if names else ", and the variables that it sets are set"
        why = f"{file} imports it, version control leaves it out{asked}"
        step = Step(f"{module}.py", ("python", "-c", write), folder, why)
        plan = replace(plan, steps=(step, *plan.steps), variables=known)
    return plan


def _names_of(sources: Sources, files: list[str], module: str) -> list[str] | None:
    """Return the constants that files use of a module; None if they use anything else, or may do without it."""
    names: set[str] = set()
    is_imported = False
    for file in files:
        if module.encode() not in sources.text(file) or (tree := sources.tree(file)) is None:
            continue
        found = list(_imports_of(tree, module))
        if not found:
            continue
        is_imported = True
        known = {alias.asname or alias.name for one in found if isinstance(one, ast.Import) for alias in one.names}
        names |= {alias.name for one in found if isinstance(one, ast.ImportFrom) for alias in one.names}
        for node in sources.nodes(file):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
                names.add(node.attr)
            elif isinstance(node, ast.Call) and any(
                isinstance(one, ast.Name) and one.id in known for one in (node.func, *node.args)
            ):
                return None
    return sorted(names) if is_imported and all(_CONSTANT.fullmatch(one) for one in names) else None


def _imports_of(tree: ast.Module, module: str) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the unconditional imports of a module."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == module:
            yield node
        elif isinstance(node, ast.Import) and any(alias.name == module for alias in node.names):
            yield ast.Import([alias for alias in node.names if alias.name == module])


def _read(name: str, value: str) -> str:
    """Return the code that reads a constant: numbers are numbers."""
    read = f"os.environ[{name!r}]"
    return f"int({read})" if value.isdigit() or value == "{port}" else read
