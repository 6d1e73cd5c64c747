"""Lay a module of settings that the project does not have: ``env.py``, or ``config.py`` with its class ``Config``.

It is written from what the project's files use of it. Each value is read from the environment variable of its name, so
that detection finds the variables and the database as in any other project.
"""

from __future__ import annotations

import ast
import fnmatch
import functools
import posixpath
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from preview.detection.expressions import keyword, last_name
from preview.detection.plan import Step
from preview.detection.settings.config_objects import CONSTANT, flask_keys
from preview.sources import Sources

_MOST_FILES: Final = 500
_MOST_MODULES: Final = 3
_MOST_NAMES: Final = 80
# Candidates of a project: each is looked for among all files.
_MOST_MISSING: Final = 200
# The step that writes the module has its text as an argument, which the kernel limits to 128 KiB.
_MOST_CHARACTERS: Final = 50_000
_USUAL: Final = frozenset({"config", "settings", "configuration", "configs", "app_config", "local_settings"})
# What nobody puts into version control. Only constants of such a module can be made up.
_PRIVATE: Final = re.compile(
    r"(?:^|_)(?:secrets?|private|credentials?|creds|api_?keys?)$|_(?:config|settings)$|^(?:config|settings)_",
    re.IGNORECASE,
)
_ENTRIES: Final = ("app.py", "main.py", "run.py", "wsgi.py", "manage.py", "server.py", "requirements.txt")
_INSTANCE_FILE: Final = re.compile(r"\w[\w-]{0,60}\.py")
_CLASS: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,40}")
_CONFIG: Final = re.compile(r"Config|Settings|Dev|Prod|Test")
_OBJECT: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_MODULE: Final = re.compile(r"[A-Za-z_]\w{0,60}(?:\.[A-Za-z_]\w{0,60}){0,3}")
_MANIFEST: Final = re.compile(r"requirements[\w.-]*\.(?:txt|in)|pyproject\.toml|Pipfile|setup\.(?:py|cfg)")
_WORD: Final = re.compile(rb"config|settings|secret|private|credential|creds|api_?key", re.IGNORECASE)
_NUMBER: Final = re.compile(
    r"(?:.*_)?(?:PORT|MINUTES|SECONDS|HOURS|DAYS|EXPIRES?|LIMIT|SIZE|PER_PAGE|TIMEOUT|COUNT|LENGTH)"
)
_SWITCH: Final = re.compile(
    r"DEBUG|TESTING|(?:IS|USE|ENABLE)_\w+|\w+_(?:ENABLED|TLS|SSL|MODIFICATIONS|ECHO|COOKIE_SECURE)"
)
_FOLDER: Final = re.compile(r"\w*(?:FOLDER|_DIR|DIRECTORY)")
_EXTENSIONS: Final = re.compile(r"(?:ALLOWED|\w+)_EXTENSIONS")


@dataclass(frozen=True, slots=True)
class LaidModule:
    """A module to write before the application starts.

    Attributes:
        path: Its path, relative to the project.
        text: Its source.
        why: One sentence for the log.
    """

    path: str
    text: str
    why: str


@dataclass(slots=True)
class _Use:
    """Uses of one module in the project's files: of each of its names, and the file that imports it first."""

    file: str
    is_whole: bool = False
    constants: set[str] = field(default_factory=set)
    classes: dict[str, set[str]] = field(default_factory=dict)
    objects: dict[str, set[str]] = field(default_factory=dict)
    choices: set[str] = field(default_factory=set)
    is_other: bool = False


@dataclass(slots=True)
class _Name:
    """Uses of one name in a file: ``Config``, or ``config.Config``.

    Attributes:
        attributes: Those that are used of it, in their order.
        is_choice: It is looked into with a key.
        is_called: It is called.
        has_arguments: It is called with arguments.
        takers: Functions that get it as an argument.
    """

    attributes: dict[str, None] = field(default_factory=dict)
    is_choice: bool = False
    is_called: bool = False
    has_arguments: bool = False
    takers: set[str] = field(default_factory=set)


_Names = Mapping[str, _Name]


def lay_modules(sources: Sources) -> tuple[Step, ...]:
    """Add missing modules of settings to the sources, and return the steps that write them."""
    for module in find_laid_modules(sources):
        sources.lay(module.path, module.text.encode(), module.why)
    write = (
        "import os,sys;n=sys.argv[1];os.makedirs(os.path.dirname(n)or'.',exist_ok=True)"
        ";os.path.exists(n) or open(n,'w').write(sys.argv[2])"
    )
    return tuple(
        Step(name, ("python", "-c", write, name, sources.text(name).decode()), ".", why)
        for name, why in sources.laid.items()
    )


def find_laid_modules(sources: Sources) -> list[LaidModule]:
    """Return the modules that files import, whose use is plain, and that the project should have but does not.

    A module counts as missing if ``.gitignore`` names it or it has a usual name, such as ``config``, no folder of the
    project has one of this name, and no manifest names a package like it. Of one such as ``server_secrets``, which no
    ``.gitignore`` names, only constants may be used.
    """
    files = [name for name in sources.names if not posixpath.basename(name).startswith("test_")][:_MOST_FILES]
    patterns = ignored_patterns(sources)
    missing = _Missing(sources, patterns)
    plain = [b"" if "*" in one else one.encode().removesuffix(b".py") for one in patterns]
    found: dict[str, _Use] = {}
    for file in files:
        text = sources.text(file)
        if _WORD.search(text) or any(one in text for one in plain):
            for module, use in _uses(sources, file, missing):
                _merge(found.setdefault(module, _Use(file)), use)
    laid: list[LaidModule] = []
    keys = functools.cache(lambda: flask_keys(sources, files))
    for module, use in found.items():
        if len(laid) == _MOST_MODULES:
            break
        if use.is_other or (missing.is_private(module) and (use.is_whole or use.classes or use.objects or use.choices)):
            continue
        if "/" not in module and is_required(sources, module):
            continue
        path = _place(sources, module, use.file)
        if path is not None and not sources.has_file(path):
            why = f"{use.file} imports it, and the project does not have it; its values are those of the variables"
            source = _written(use, keys, is_flask=any(b".from_object(" in sources.text(file) for file in files))
            laid += [LaidModule(path, source, why)] if len(source) <= _MOST_CHARACTERS else []
    for path, file in _demanded_files(sources, files):
        if not sources.has_file(path) and len(laid) < _MOST_MODULES:
            why = f"{file} reads it, and the project does not have it; its values are those of the variables"
            laid.append(LaidModule(path, _written(_Use(file, is_whole=True), keys, is_flask=True), why))
    return laid


def _demanded_files(sources: Sources, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each file of Flask's instance folder that ``from_pyfile`` demands, and the file that names it.

    Version control leaves that folder out. It stands beside the package, or beside a single module.
    """
    for file in files:
        nodes = sources.nodes(file) if b"instance_relative_config" in sources.text(file) else ()
        defaults: dict[str, ast.expr] = {}
        for node in nodes:
            if isinstance(node, ast.FunctionDef):
                defaults |= dict(
                    zip((one.arg for one in reversed(node.args.args)), reversed(node.args.defaults), strict=False)
                )
        for node in nodes:
            if isinstance(node, ast.Call) and last_name(node) == "from_pyfile" and node.args:
                named = node.args[0]
                named = defaults.get(named.id, named) if isinstance(named, ast.Name) else named
                text = named.value if isinstance(named, ast.Constant) and keyword(node, "silent") is None else None
                if isinstance(text, str) and _INSTANCE_FILE.fullmatch(text):
                    folder, name = posixpath.split(file)
                    folder = posixpath.dirname(folder) if name == "__init__.py" else folder
                    yield posixpath.join(folder, "instance", text), file


def ignored_patterns(sources: Sources) -> list[str]:
    """Return the patterns of ``.gitignore`` that may name a module, but not all of them."""
    ignored = [name for name in sources.all_names if posixpath.basename(name) == ".gitignore"][:5]
    lines = [line.strip() for name in ignored for line in sources.text(name).decode("utf-8", "replace").splitlines()]
    ends = [line.rpartition("/")[2] for line in lines if line and line[0] not in "#!" and not line.endswith("/")]
    usable = [one for one in ends if one.strip("*") not in {"", ".py", "."} and ("*" in one or one.endswith(".py"))]
    return usable[:200]


def is_required(sources: Sources, module: str) -> bool:
    """Return whether a manifest names a package like the module: a pattern such as ``*env*`` names ``dotenv``, too."""
    named = re.compile(rf"(?<![\w.-]){module.replace('_', '[-_]')}(?![\w.-])", re.IGNORECASE)
    manifests = [name for name in sources.all_names if _MANIFEST.fullmatch(posixpath.basename(name))]
    return any(named.search(sources.text(name).decode("utf-8", "replace")) for name in manifests[:10])


def _uses(sources: Sources, file: str, missing: _Missing) -> Iterator[tuple[str, _Use]]:
    """Yield each missing module that the file imports unconditionally or names for Flask, and how it is used."""
    tree = sources.tree(file)
    nodes = sources.nodes(file)
    used = _used_names(nodes)
    for one in tree.body if tree is not None else ():
        if isinstance(one, ast.ImportFrom) and (module := missing.path_of(file, one.module, one.level)):
            use = _Use(file)
            for alias in one.names[:_MOST_NAMES]:
                if alias.name == "*":
                    use.constants.update(_undefined(nodes))
                else:
                    _note(use, alias.name, alias.asname or alias.name, used)
            yield module, use
        elif isinstance(one, ast.Import):
            for alias in one.names:
                if module := missing.path_of(file, alias.name):
                    yield module, _used_attributes(file, alias.asname or alias.name, used)
    for node in nodes if b"from_object" in sources.text(file) else ():
        named = node.args[0] if isinstance(node, ast.Call) and last_name(node) == "from_object" and node.args else None
        text = named.value if isinstance(named, ast.Constant) else None
        if isinstance(text, str) and _MODULE.fullmatch(text):
            head, _, last = text.rpartition(".")
            is_class = bool(head) and _CLASS.fullmatch(last) is not None
            if module := missing.path_of(file, head if is_class else text):
                yield module, _Use(file, classes={last: set()}) if is_class else _Use(file, is_whole=True)


class _Missing:
    """The modules that the project should have: those of a usual name, and those that ``.gitignore`` names."""

    def __init__(self, sources: Sources, patterns: Sequence[str]) -> None:
        self._sources = sources
        self._patterns = patterns
        # Alembic's own module is no program's.
        names = [one for one in sources.all_names if not one.endswith(("migrations/env.py", "alembic/env.py"))]
        self._parts = {part.removesuffix(".py") for name in names for part in name.split("/")}
        self._found: dict[tuple[str, str], str | None] = {}

    def path_of(self, file: str, module: str | None, level: int = 0) -> str | None:
        """Return the module's path without ``.py``, if the project lacks it; ``./`` begins that of a relative one."""
        if not module or not _MODULE.fullmatch(module):
            return None
        name = module.rpartition(".")[2]
        if not level and module in sys.stdlib_module_names:
            return None
        if not self._is_usual(name) and not _PRIVATE.search(name):
            return None
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(file), *[".."] * (level - 1))) if level else ""
        key = folder, module.replace(".", "/")
        if key not in self._found:
            self._found[key] = self._find(*key) if len(self._found) < _MOST_MISSING else None
        return self._found[key]

    def is_private(self, path: str) -> bool:
        """Return whether only its name tells that the module is left out on purpose."""
        return not self._is_usual(path.rpartition("/")[2])

    def _is_usual(self, name: str) -> bool:
        return name in _USUAL or any(fnmatch.fnmatchcase(f"{name}.py", one) for one in self._patterns)

    def _find(self, folder: str, path: str) -> str | None:
        if folder:
            whole = posixpath.normpath(f"{folder}/{path}")
            is_there = any(one == f"{whole}.py" or one.startswith(f"{whole}/") for one in self._sources.all_names)
            return None if is_there or whole.startswith("..") else f"./{whole}"
        if "/" not in path:
            return None if path in self._parts else path
        names = (f"/{one}" for one in self._sources.all_names)
        is_there = any(one.endswith(f"/{path}.py") or f"/{path}/" in one for one in names)
        return None if is_there or path.partition("/")[0] not in self._parts else path


def _used_names(nodes: Sequence[ast.AST]) -> _Names:
    """Return all names of a file, and names with one attribute, with their uses: read once, however many are asked."""
    found: defaultdict[str, _Name] = defaultdict(_Name)
    for node in nodes:
        if isinstance(node, ast.Attribute) and (name := _dotted(node.value)):
            found[name].attributes[node.attr] = None
        elif isinstance(node, ast.Subscript) and (name := _dotted(node.value)):
            found[name].is_choice = True
        elif isinstance(node, ast.Call):
            if name := _dotted(node.func):
                found[name].is_called = True
                found[name].has_arguments |= bool(node.args)
            for one in node.args:
                if isinstance(one, ast.Name):
                    found[one.id].takers.add(last_name(node))
    return found


def _undefined(nodes: Sequence[ast.AST]) -> list[str]:
    """Return the constants that a file uses and that nothing in it defines, nor may bring: what ``import *`` is for."""
    imported = [one for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for one in node.names]
    if sum(one.name == "*" for one in imported) > 1:
        return []
    names = [node for node in nodes if isinstance(node, ast.Name) and CONSTANT.fullmatch(node.id)]
    known = {one.asname or one.name for one in imported}
    known |= {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    return [node.id for node in names if node.id not in known][:_MOST_NAMES]


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _used_attributes(file: str, name: str, used: _Names) -> _Use:
    """Return how the attributes of an imported module are used: ``config.Config``, ``config.SECRET_KEY``."""
    here = used.get(name, _Name())
    use = _Use(file, is_whole="from_object" in here.takers, is_other=bool(here.takers - {"from_object"}))
    for one in list(here.attributes)[:_MOST_NAMES]:
        _note(use, one, f"{name}.{one}", used)
    return use


def _note(use: _Use, name: str, local: str, used: _Names) -> None:
    """Add the uses of one imported name."""
    if CONSTANT.fullmatch(name):
        use.constants.add(name)
        return
    here = used.get(local, _Name())
    attributes, is_choice = set(here.attributes), here.is_choice
    use.is_other |= here.has_arguments or (here.is_called and _OBJECT.fullmatch(name) is not None)
    if is_choice or attributes == {"get"}:
        use.choices.add(name)
    elif _CLASS.fullmatch(name) and (attributes or _CONFIG.search(name)):
        use.classes.setdefault(name, set()).update(attributes - {"init_app"})
    elif _OBJECT.fullmatch(name) and attributes:
        use.objects.setdefault(name, set()).update(attributes)
    else:
        use.is_other = True


def _merge(use: _Use, other: _Use) -> None:
    use.is_whole |= other.is_whole
    use.is_other |= other.is_other
    use.constants |= other.constants
    use.choices |= other.choices
    for name, attributes in other.classes.items():
        use.classes.setdefault(name, set()).update(attributes)
    for name, attributes in other.objects.items():
        use.objects.setdefault(name, set()).update(attributes)


def _place(sources: Sources, module: str, file: str) -> str | None:
    """Return the path to write a module to, as the file that imports it expects it."""
    if module.startswith("./"):
        return f"{module[2:]}.py"
    head, _, last = module.rpartition("/")
    if head:
        folders = {posixpath.dirname(one) for one in sources.names if f"/{posixpath.dirname(one)}".endswith(f"/{head}")}
        return f"{min(folders, key=lambda one: (one.count('/'), one))}/{last}.py" if folders else None
    folder = posixpath.dirname(file)
    while folder and not any(sources.has_file(f"{folder}/{one}") for one in _ENTRIES):
        folder = posixpath.dirname(folder)
    while folder and sources.has_file(f"{folder}/__init__.py"):
        folder = posixpath.dirname(folder)
    return f"{folder}/{last}.py" if folder else f"{last}.py"


def _written(use: _Use, get_keys: Callable[[], set[str]], *, is_flask: bool) -> str:
    """Return the source of a module with all names that are used of it."""
    is_flask = use.is_whole or bool(use.choices) or is_flask
    keys = get_keys() if is_flask and not use.objects else set()
    lines = [
        "import os",
        *(f"{one} = {_value(one)}" for one in sorted(use.constants | (keys if use.is_whole else set()))),
    ]
    every = set(keys).union(*use.classes.values())
    if use.classes or use.choices:
        lines += ["class Config:", *(f"    {one} = {_value(one)}" for one in sorted(every))]
        lines += ["    @staticmethod", "    def init_app(app): pass"]
        lines += [f"class {name}(Config): pass" for name in use.classes if name != "Config"]
    for name, attributes in use.objects.items():
        lines += [
            f"class _{name}:",
            *(f"    {one} = {_value(one)}" for one in sorted(attributes)),
            f"{name} = _{name}()",
        ]
    if use.choices:
        lines += ["class _Choices(dict):", "    def __missing__(self, key): return Config"]
        lines += [
            "    def get(self, key, default=None): return Config",
            *(f"{one} = _Choices()" for one in use.choices),
        ]
    return "\n".join(lines) + "\n"


def _value(name: str) -> str:
    """Return the code of a value: a variable of the environment, or what its name says of it."""
    upper = name.upper()
    if _SWITCH.fullmatch(upper):
        return "False"
    if _FOLDER.fullmatch(upper):
        return repr(f"{upper.partition('_')[0].lower()}s" if upper.startswith("UPLOAD") else "data")
    if _EXTENSIONS.fullmatch(upper):
        return "{'png', 'jpg', 'jpeg', 'gif', 'pdf', 'csv', 'txt'}"
    variable = "DATABASE_URL" if upper == "SQLALCHEMY_DATABASE_URI" else upper
    return f'int(os.environ["{variable}"])' if _NUMBER.fullmatch(upper) else f'os.environ["{variable}"]'
