"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import grimp
import pytest

import preview

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "preview").rglob("*.py"))
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(preview.__path__, "preview.")
    # Migrations are scripts that Alembic loads by file; a template is run by a child's own interpreter.
    if ".migrations" not in module.name and ".template" not in module.name
)
# Longer than this and a file does two things.
MAX_LINES = 400
# More than that in one folder are two packages.
MAX_MODULES = 15


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


# Each rule is one test of all files: a test of each file would be a third of all tests, and tell no more.


def test_all_stands_where_a_package_is_entered_and_says_what_is_there() -> None:
    wrong = {}
    for path in SOURCES:
        module_name = name(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if module_name not in MODULES:
            continue
        offered = getattr(importlib.import_module(module_name), "__all__", None)
        if path.name != "__init__.py" and path.parent != ROOT / "preview":
            if offered is not None:
                wrong[module_name] = ["__all__ in a module inside: an underscore says what is private"]
            continue
        if offered is None:
            wrong[module_name] = ["no __all__"]
            continue
        odd = [one for one in offered if not hasattr(sys.modules[module_name], one) or one.startswith("_")]
        if odd or len(set(offered)) < len(offered):
            wrong[module_name] = odd or ["a name twice"]
    assert len(MODULES) > 100
    assert wrong == {}


def test_a_name_with_an_underscore_stays_in_its_module() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}: {one.name} of {node.module}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("preview")
        for one in node.names
        if one.name.startswith("_")
    ]
    assert wrong == []


def test_a_file_is_of_a_size_to_be_read() -> None:
    assert [name(path) for path in SOURCES if len(path.read_text().splitlines()) > MAX_LINES] == []


def test_a_folder_is_of_a_size_to_be_read() -> None:
    folders = Counter(name(path.parent) for path in SOURCES if path.name != "__init__.py")
    # A chain that only grows, and that nobody reads as a whole.
    del folders["preview/storage/migrations/versions"]
    assert {folder: count for folder, count in folders.items() if count > MAX_MODULES} == {}


def test_no_import_leads_back_to_its_module() -> None:
    graph = grimp.build_graph("preview", exclude_type_checking_imports=True)
    left = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    # What imports nothing that is left is in no circle.
    while leaves := [module for module, imported in left.items() if not imported & left.keys()]:
        for module in leaves:
            del left[module]
    assert sorted(left) == []


# The parts of an interpreter of Python or JavaScript name each other's types, and so do those of a relayed connection.
CIRCLES_OF_TYPES = {
    "preview.endpoints.flask",
    "preview.endpoints.javascript",
    "preview.endpoints.python",
    "preview.http.relay",
}


def test_no_type_leads_back_to_its_module_but_inside_these_packages() -> None:
    graph = grimp.build_graph("preview", exclude_type_checking_imports=False)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    in_circles = {module for module in imports if module in _reached(module, imports)}
    assert {module.rpartition(".")[0] for module in in_circles} == CIRCLES_OF_TYPES


def _reached(start: str, imports: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    following = [start]
    while following:
        new = imports[following.pop()] - found
        found |= new
        following += new
    return found


def test_a_package_only_exports() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}: {ast.unparse(node)[:60]}"
        for path in SOURCES
        if path.name == "__init__.py"
        for node in tree(path).body
        if not _is_export(node)
    ]
    assert wrong == []


def _is_export(node: ast.stmt) -> bool:
    in_lazy_export = isinstance(node, ast.FunctionDef) and node.name in {"__getattr__", "__dir__"}
    in_type_checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    return isinstance(node, allowed) or in_lazy_export or in_type_checking


def test_no_module_keeps_state_in_globals() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}: global {', '.join(node.names)}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Global)
    ]
    assert wrong == []


def test_no_object_becomes_one_of_another_class() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr == "__class__" and isinstance(node.ctx, ast.Store)
    ]
    assert wrong == []


def test_every_public_coroutine_says_what_cancellation_does() -> None:
    missing = [
        f"{name(path)}:{node.lineno}: {node.name}"
        for path in SOURCES
        for node in _public_functions(tree(path))
        if isinstance(node, ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and "ancel" not in (ast.get_docstring(node) or "")
    ]
    assert missing == []


def _public_functions(tree: ast.AST) -> list[ast.AST]:
    """Functions of the module and methods of its public classes; not what stands inside functions."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += _public_functions(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node)
    return found


def test_imports_go_one_way() -> None:
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_is_cheap() -> None:
    script = (
        "import sys, preview;"
        "heavy = {'quart', 'sqlalchemy', 'pydantic', 'trio', 'httpx2'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
    "\0"
)


@pytest.mark.skipif(not any(TRACKED), reason="not a git checkout: nothing says which files belong to the project")
def test_no_file_says_where_packages_come_from() -> None:
    words = ["pypi" + ".org", "python" + "hosted", "registry.npm" + "js", "/work" + "/"]
    found = []
    for path in (ROOT / one for one in TRACKED if one):
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{name(path)}: {word}" for word in words if word in text]
    assert found == []


@pytest.mark.long
@pytest.mark.parametrize(("chosen", "code"), [((), 5), (("-m", "long"), 0)], ids=["by itself", "asked for"])
def test_the_longer_suites_run_only_when_asked_for(chosen: tuple[str, ...], code: int) -> None:
    argv = [
        sys.executable,
        "-m",
        "pytest",
        *chosen,
        "--collect-only",
        "-q",
        "-n",
        "0",
        "tests/cluster/test_lease_model.py",
    ]
    assert subprocess.run(argv, cwd=ROOT, capture_output=True, check=False, timeout=120).returncode == code


def test_marks_stand_in_the_files_of_their_tests() -> None:
    """scripts/ci-tests.sh finds tests that bound a time by their files: one marked by a kit would be passed over."""
    tests = sorted((ROOT / "tests").rglob("*.py"))
    mark = "pytest.mark." + "timed"
    assert [name(path) for path in tests if not path.name.startswith("test_") and mark in path.read_text()] == []
