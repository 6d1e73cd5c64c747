"""What single expressions and statements give where Python is read without being run."""

from __future__ import annotations

from pathlib import Path

import pytest
from python_project_kit import write

from preview.endpoints.budget import Budget
from preview.endpoints.flask.framework import FlaskFramework, find_flask_apps
from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.evaluator import PythonEvaluator
from preview.endpoints.python.members import PathValue
from preview.endpoints.python.values import Class, Function, Instance, Module
from preview.sources import Sources

SETUP = """\
import copy, functools, glob, importlib, inspect, os, pathlib, pkgutil, sys, typing
from decouple import config
from pathlib import Path
import pack, pack.a
import outside

def f(a, b=1, *, c=2): return a
def g(): ...

class Base:
    kind = "base"
    def __init__(self, name="n"): self.name = name
    def first(self): return "first"
    def told(self, word): return word

class Child(Base):
    def told(self, word): return super().told(word + "!")
    def unknown(self): return super().nothing()

class Far(outside.Thing): ...
class Plain: ...

one, child = Base(), Child("c")
text, values, mapping = "a/b", ["b", "a", "b"], {"x": 1, "y": 2}
here = Path(__file__).resolve().parent
"""
FILES = {"pack__init__": "", "pack__a": "name = 'A'\n", "pack__b": "", "pack__deep__init__": "", "pack__deep__c": ""}


def plain(value: object) -> object:
    """A value as the tables below write it."""
    match value:
        case PathValue():
            return f"path {value}"
        case Function() | Class():
            return value.node.name
        case Module():
            return f"module {value.file}"
        case Instance():
            return f"a {value.cls.node.name}"
        case External():
            return f"external {value.name}"
        case list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
    return value


def read(folder: Path, text: str) -> dict[str, object]:
    """The names that a module binds, beside a small package; ``SETUP`` comes before its text."""
    write(folder, main=SETUP + text, **FILES)
    (folder / ".env").write_text("TOKEN=secret\n")
    names = PythonEvaluator(Sources(folder), ".", Budget(), FlaskFramework()).load("main.py").scope.names
    return {name: plain(value) for name, value in names.items()}


def check(folder: Path, table: dict[str, object]) -> None:
    """Each expression has its value; all are read in one module, and all that differ are told."""
    lines = [f"r{number} = {source}\n" for number, source in enumerate(table)]
    names = read(folder, "".join(lines))
    found = {source: names[f"r{number}"] for number, source in enumerate(table)}
    # True == 1, and a route is not the same with one as with the other.
    wrong = {source: found[source] for source, wanted in table.items() if repr(found[source]) != repr(wanted)}
    assert wrong == {}


def test_builtins_about_attributes_know_what_the_project_defines(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "getattr(one, 'name')": "n",
        "getattr(one, 'none', 'default')": "default",
        "getattr(one, nothing)": UNKNOWN,
        "hasattr(one, 'first')": True,
        "hasattr(one, 'other')": False,
        "hasattr(Far, 'other')": UNKNOWN,
        "hasattr('text', 'upper')": UNKNOWN,
        "dir(child)": ["__init__", "first", "kind", "told", "unknown"],
        "dir(Base)": ["__init__", "first", "kind", "told"],
        "dir('text')": UNKNOWN,
        "'name' in dir(pack.a)": True,
        "callable(f)": True,
        "callable(Base)": True,
        "callable(text)": False,
        "callable(nothing)": UNKNOWN,
        "type(child)": "Child",
        "type(text)": UNKNOWN,
        "isinstance(child, Base)": True,
        "isinstance(one, Child)": False,
        "isinstance(text, Base)": False,
        "isinstance(nothing, Base)": UNKNOWN,
        "issubclass(Child, Base)": True,
        "issubclass(Base, Child)": False,
        "issubclass(Far, outside.Thing)": True,
        "issubclass(nothing, Base)": UNKNOWN,
        "child.told('hi')": "hi!",
        "child.unknown()": UNKNOWN,
        "super()": UNKNOWN,
        "(lambda: super())()": UNKNOWN,
        "f.__name__": "f",
        "Child.__name__": "Child",
        "outside.Thing.part": "external outside.Thing.part",
    }
    check(tmp_path, table)


def test_builtins_about_containers_give_what_python_gives(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "list()": [],
        "tuple(values)": ["b", "a", "b"],
        "list(nothing)": UNKNOWN,
        "list(mapping)": ["x", "y"],
        "set(values)": ["b", "a"],
        "set(nothing)": UNKNOWN,
        "dict()": {},
        "dict(mapping, z=3)": {"x": 1, "y": 2, "z": 3},
        "dict(nothing)": UNKNOWN,
        "sorted(values)": ["a", "b", "b"],
        "sorted([2, 1])": [2, 1],
        "sorted(nothing)": UNKNOWN,
        "list(reversed(values))": ["b", "a", "b"],
        "reversed(nothing)": UNKNOWN,
        "list(enumerate(['p', 'q']))": [[0, "p"], [1, "q"]],
        "enumerate(nothing)": UNKNOWN,
        "list(zip(['p', 'q'], mapping))": [["p", "x"], ["q", "y"]],
        "zip(values, nothing)": UNKNOWN,
        "range(3)": [0, 1, 2],
        "range(1, 6, 2)": [1, 3, 5],
        "len(range(10**0, 5000))": UNKNOWN,
        "len(range(5000))": 100,
        "range(nothing)": UNKNOWN,
        "range(1, 5, 0)": UNKNOWN,
        "str(12)": "12",
        "str()": "",
        "str(here)": "",
        "str(True)": UNKNOWN,
        "str(nothing)": UNKNOWN,
        "len(values)": 3,
        "len(nothing)": UNKNOWN,
        "nothing(1)": UNKNOWN,
    }
    check(tmp_path, table)


def test_functions_of_the_standard_library_find_the_projects_own_modules(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "importlib.import_module('pack.a')": "module pack/a.py",
        "importlib.import_module('.a', 'pack')": "module pack/a.py",
        "importlib.import_module('..a', 'pack.deep')": "module pack/a.py",
        "importlib.import_module('.a')": UNKNOWN,
        "importlib.import_module(nothing)": UNKNOWN,
        "importlib.import_module('none')": UNKNOWN,
        "__import__('pack.b')": "module pack/b.py",
        "[item.name for item in pkgutil.iter_modules(['pack'])]": ["a", "b", "deep"],
        "[name for _, name, _ in pkgutil.iter_modules(pathlib.Path('pack'), 'pack.')]": [
            "pack.a",
            "pack.b",
            "pack.deep",
        ],
        "[name for _, name, _ in pkgutil.iter_modules()]": ["pack"],
        "sorted(glob.glob('pack/?.py'))": ["pack/a.py", "pack/b.py"],
        "glob.glob(nothing)": [],
        "os.listdir('pack')": ["__init__.py", "a.py", "b.py", "deep"],
        "'main.py' in os.listdir(here)": True,
        "os.listdir(nothing)": UNKNOWN,
        "os.getenv('TOKEN')": "secret",
        "os.environ.get('TOKEN', 'code')": "code",
        "config('NOT_THERE')": UNKNOWN,
        "os.getenv(nothing)": UNKNOWN,
        "copy.deepcopy(mapping)": {"x": 1, "y": 2},
        "typing.cast(str, text)": "a/b",
        "functools.partial(f, 1)": "f",
        "list(inspect.signature(f).parameters)": ["a", "b", "c"],
        "list(inspect.signature(one.told).parameters)": ["word"],
        "inspect.signature(nothing)": UNKNOWN,
        "[name for name, _ in inspect.getmembers(Base, inspect.isfunction)]": ["__init__", "first", "told"],
        "[name for name, _ in inspect.getmembers(Base)]": ["__init__", "first", "kind", "told"],
        "inspect.getmembers(nothing)": UNKNOWN,
        "sys.path.append(nothing)": None,
    }
    check(tmp_path, table)


def test_paths_from_the_modules_own_file_lead_to_the_projects_files(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "Path('pack/a.tar.py').parent": "path pack",
        "Path('pack/a.tar.py').name": "a.tar.py",
        "Path('pack/a.tar.py').stem": "a.tar",
        "Path('pack/a.py').suffix": ".py",
        "Path('pack/a').suffix": "",
        "Path('pack/deep/c.py').parents": ["path pack/deep", "path pack", "path "],
        "Path('pack').drive": UNKNOWN,
        "Path('pack').exists()": UNKNOWN,
        "Path(nothing)": UNKNOWN,
        "Path('pack').absolute() == Path('pack')": UNKNOWN,
        "Path('pack').joinpath('deep', 'c.py')": "pack/deep/c.py",
        "here / 'pack'": "path pack",
        "here / nothing": UNKNOWN,
        "sorted(str(item) for item in Path('pack').glob('*.py'))": ["pack/__init__.py", "pack/a.py", "pack/b.py"],
        "[item.stem for item in Path('pack').rglob('c.py')]": ["c"],
        "[item.stem for item in Path('pack').glob('**/c.py')]": ["c"],
        "sorted(item.stem for item in Path('pack/deep').iterdir())": ["__init__", "c"],
        "os.path.dirname('pack/a.py')": "pack",
        "os.path.basename('pack/a.py')": "a.py",
        "os.path.abspath('pack')": "pack",
        "os.path.join('pack', '', 'a')": "pack/a",
        "os.path.join('pack', nothing)": UNKNOWN,
        "os.path.splitext('a.py')": ["a", ".py"],
        "os.path.splitext('a')": ["a", ""],
        "os.path.getsize('a')": UNKNOWN,
        "os.path.dirname(nothing)": UNKNOWN,
    }
    check(tmp_path, table)
    assert len({PathValue("a"), PathValue("a"), PathValue("b")}) == 2


def test_methods_of_texts_lists_and_mappings_give_what_python_gives(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "text.split('/')": ["a", "b"],
        "text.partition('/')": ["a", "/", "b"],
        "text.encode()": UNKNOWN,
        "text.split(sep='/')": UNKNOWN,
        "text.strip(nothing)": UNKNOWN,
        "text.split('')": UNKNOWN,
        "text.replace('a')": UNKNOWN,
        "'a'.replace('a', 'b')": "b",
        "'-'.join(values)": "b-a-b",
        "'-'.join([nothing])": UNKNOWN,
        "'-'.join(nothing)": UNKNOWN,
        "'{}/{name}/{}'.format('p', 2, name='n')": "p/n/2",
        "'{1}{0}'.format('p', 'q')": "qp",
        "'{'.format()": UNKNOWN,
        "'{:>3}'.format('p')": UNKNOWN,
        "'{}'.format()": UNKNOWN,
        "values.copy()": ["b", "a", "b"],
        "[1, 2].pop()": 2,
        "[].pop()": UNKNOWN,
        "values.index('a')": 1,
        "values.index('z')": UNKNOWN,
        "values.append()": UNKNOWN,
        "list(mapping.items())": [["x", 1], ["y", 2]],
        "mapping.keys()": ["x", "y"],
        "mapping.values()": [1, 2],
        "mapping.copy()": {"x": 1, "y": 2},
        "mapping.get('z')": None,
        "mapping.get('z', 3)": 3,
        "mapping.get(nothing)": UNKNOWN,
        "{'a': 1}.setdefault('b', 2)": 2,
        "{'a': 1}.setdefault(nothing, 2)": UNKNOWN,
        "mapping.clear()": UNKNOWN,
    }
    check(tmp_path, table)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("r = ['a']\nr.insert(0, 'b')\nr.insert(99, 'c')\n", ["b", "a", "c"]),
        ("r = ['a']\nr.extend(['b'])\nr += ['c']\nr += nothing\n", ["a", "b", "c", UNKNOWN]),
        ("r = {'a'}\nr.add('a')\nr.add('b')\n", ["a", "b"]),
        ("r = {'a': 1}\nr.update({'b': 2}, c=3)\nr.update(nothing)\n", {"a": 1, "b": 2, "c": 3}),
        ("r = 'a'\nr += 'b'\n", "ab"),
        ("r = 'a'\nr += nothing\n", UNKNOWN),
        ("r = 1\nr += 1\n", 1),
        ("setattr(one, 'late', 'x')\nr = one.late\n", "x"),
        ("setattr(nothing, 'late', 'x')\nr = 1\n", 1),
        ("Base.late = 'x'\nr = one.late\n", "x"),
        ("pack.a.late = 'x'\nr = pack.a.late\n", "x"),
        ("one.late = 'x'\nr = one.late\n", "x"),
        ("r = {}\nr['a'] = 1\nr[nothing] = 2\n", {"a": 1}),
        ("nothing['a'] = 1\nr = 2\n", 2),
        ("[r, other] = ['a']\nr = [r, other]\n", ["a", UNKNOWN]),
        ("r = []\nfor i in range(9):\n    if i == 1: continue\n    if i == 3: break\n    r.append(i)\n", [0, 2]),
        ("def h():\n    for i in range(9):\n        if i == 2: return i\nr = h()\n", 2),
        ("def h():\n    global r\n    r = 'set'\nh()\n", "set"),
        ("r = []\nwhile nothing: r.append(1)\n", [1]),
        ("r = []\nmatch nothing:\n    case 1: r.append(1)\n    case _: r.append(2)\n", [1, 2]),
        ("r = []\nif nothing: r.append(1)\nelse: r.append(2)\n", [1, 2]),
        ("r = []\nif text == 'no': r.append(1)\nelse: r.append(2)\n", [2]),
        ("with nothing as n, Base('w') as r: ...\n", "a Base"),
        ("async def h():\n    async with Base('w') as w: return w.name\nr = h()\n", "w"),
        ("try:\n    from none import r\nexcept ImportError:\n    from pack.a import name as r\n", "A"),
        ("try:\n    r = 1\nexcept ValueError: r = 2\nelse: q = 3\nfinally: r = [r, q]\n", [1, 3]),
        ("def h():\n    try: return 1\n    finally: g()\nr = h()\n", 1),
        ("r: str = 'told'\nq: int\n", "told"),
        ("del text\nassert nothing\nr = (q := 'walrus')\n", "walrus"),
        ("sys.path.insert(0, 'pack')\nimport b as r\n", "module pack/b.py"),
        ("def deco(h):\n    @functools.wraps(h)\n    def inner(): ...\n    return inner\n@deco\ndef r(): ...\n", "r"),
        ("@functools.wraps(nothing)\ndef r(): ...\n", "r"),
        ("@functools.wraps(f)\ndef r(): ...\n", "f"),
        ("r = f(*['starred'], **{'b': 2, 3: 4})\n", "starred"),
        ("def h(*a, k='d', **n): return [a, k, n]\nr = h(1, z=2)\n", [[1], "d", {"z": 2}]),
        ("r = Plain(given='by name').given\n", "by name"),
        ("r, *rest = ['a', 'b']\n", "a"),
        ("try:\n    from pack.a import name as r\nexcept ImportError:\n    from pack import a as r\n", "A"),
        ("sys.path += ['x']\nsys.path.append('pack')\nsys.path.append('pack')\nimport a as r\n", "module pack/a.py"),
        ("here.late = here['late'] = 'x'\nr = [here.late, here['late'], here(), here.none()]\n", [UNKNOWN] * 4),
        ("r = 'before'\nfor r in here: ...\n", "before"),
        ("r = 'before'\n" + "".join(f"{' ' * n}if text:\n" for n in range(70)) + " " * 70 + "r = 'deep'\n", "before"),
        (f"r = '{'a' * 60_000}'.replace('a', 'bb')\n", UNKNOWN),
    ],
)
def test_statements_change_the_names_that_they_change_in_python(tmp_path: Path, body: str, wanted: object) -> None:
    assert repr(read(tmp_path, body)["r"]) == repr(wanted)


def test_a_comparison_is_known_only_where_both_its_sides_are(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "1 < 2 <= 2": True,
        "2 > 1 >= 2": False,
        "1 < 2 < nothing": UNKNOWN,
        "2 < 1 < nothing": False,
        "1 != 2": True,
        "1 < 'a'": UNKNOWN,
        "nothing == 1": UNKNOWN,
        "'a' in text": True,
        "1 in text": UNKNOWN,
        "'z' in values": False,
        "'z' in [nothing, 'y']": UNKNOWN,
        "'y' in [nothing, 'y']": True,
        "'z' not in values": True,
        "'z' not in [nothing]": UNKNOWN,
        "'x' in mapping": True,
        "['x'] in mapping": UNKNOWN,
        "'x' in 3": UNKNOWN,
        "None is None": True,
        "f is None": False,
        "one is not None": True,
        "nothing is None": UNKNOWN,
        "1 is f": UNKNOWN,
        "not f": False,
        "not nothing": UNKNOWN,
        "not outside": UNKNOWN,
        "-len(values)": -3,
        "~1": UNKNOWN,
        "nothing or 'b'": "b",
        "nothing or ''": UNKNOWN,
        "nothing or True and 'b'": "b",
        "nothing and []": False,
        "nothing and 1": UNKNOWN,
        "'' or 'b'": "b",
        "'a' if text else 'b'": "a",
        "nothing if nothing else 'b'": "b",
    }
    check(tmp_path, table)


def test_mappings_that_hold_themselves_are_not_compared(tmp_path: Path) -> None:
    body = "p, q = {}, {}\np['a'] = p\nq['a'] = q\nr = p == q\n"
    write(tmp_path, main=body)
    names = PythonEvaluator(Sources(tmp_path), ".", Budget(), FlaskFramework()).load("main.py").scope.names
    assert names["r"] is UNKNOWN


def test_comprehensions_and_operations_give_what_python_gives(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "{key: n for key, n in mapping.items() if n > 1}": {"y": 2},
        "{nothing: n for n in values}": {},
        "{n for n in values}": ["b", "a"],
        "[p + q for p in 'xy'.replace('y', '').split() for q in values]": ["xb", "xa", "xb"],
        "[n for n in nothing]": UNKNOWN,
        "{n: 1 for n in nothing}": UNKNOWN,
        "[n for n in values if nothing]": ["b", "a", "b"],
        "len([1 for a in range(99) for b in range(99)])": 1000,
        "[*values, *nothing]": ["b", "a", "b", UNKNOWN],
        "{**mapping, **nothing, 'z': 3}": {"x": 1, "y": 2, "z": 3},
        "['a', 'b'] - ['a']": ["b"],
        "'/%s/%d' % ('v', 1)": "/v/1",
        "'/%s' % nothing": UNKNOWN,
        "f'/{text}/{1}'": "/a/b/1",
        "f'/{True}'": UNKNOWN,
        "2 * 3": UNKNOWN,
        "'a' + 1": UNKNOWN,
        "values[1:]": ["a", "b"],
        "values[::0]": UNKNOWN,
        "values[nothing:]": UNKNOWN,
        "values[-1]": "b",
        "values[9]": UNKNOWN,
        "mapping['x']": 1,
        "mapping[nothing]": UNKNOWN,
        "(lambda n: n + '!')('a')": "a!",
    }
    check(tmp_path, table)


def test_what_was_found_before_too_much_had_to_be_read_stays(tmp_path: Path) -> None:
    app = "from flask import Flask\napp = Flask(__name__)\n"
    write(tmp_path, main=app, app=app + "pass\n" * 1000)
    assert [item.target.file for item in find_flask_apps(Sources(tmp_path), Budget(100))] == ["main.py"]
