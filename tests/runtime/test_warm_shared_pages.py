"""What a fork shares with its template for longer: objects that nobody counts, and no holes between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preview.runtime import launchers, warm

TEMPLATE = Path(warm.__file__).with_name("template")
LAUNCHERS = Path(launchers.__file__).parent

# Uses objects of all sorts in a fork, and says how many pages of its own that took it.
PAGES = """
import preview_pages
class Thing:
    pass
things = [Thing() for _ in range(20_000)]
texts = [f'text {number}' for number in range(20_000)]
gc.collect()
if MADE: print('made', preview_immortal.count_no_more() > 40_000, file=sys.stderr)
gc.freeze()
def use():
    held = [things[:], texts[:], [one.__class__ for one in things]]
    preview_pages.kept = held
print(json.dumps(sum(length for _, length in preview_pages.pages_of(use)) // 4096))
"""
# Objects that are made behind it are counted, and go away; those from before stay.
COUNTED = """
import weakref
class Thing:
    pass
before = Thing()
names = {}
names['one'] = Thing()
preview_immortal.count_no_more()
after, gone = Thing(), []
weakref.finalize(after, gone.append, 'after')
weakref.finalize(before, gone.append, 'before')
del after, before
ring = Thing(); ring.itself = ring
weakref.finalize(ring, gone.append, 'ring')
del ring
gc.collect()
print(json.dumps(gone))
"""
HOLES = """
import ctypes
libc = ctypes.CDLL(None)
def holes():
    info = preview_holes._Mallinfo2
    libc.mallinfo2.restype = info
    found = libc.mallinfo2()
    return found.fordblks - found.keepcost + sum(size * count for size, count in preview_holes._free_blocks())
held = [bytes(number) for number in range(1, 5000)] + [object() for _ in range(5000)] + [n + .5 for n in range(5000)]
del held[::2]
before = holes()
taken = preview_holes.fill()
print(json.dumps([before, taken, holes()]))
"""
OTHER_LIBRARY = """
import ctypes
ctypes.CDLL = lambda _name: type('musl', (), {'__getattr__': lambda *_: (_ for _ in ()).throw(AttributeError())})()
print(json.dumps(preview_holes._fill_heap()))
"""
NOT_TOLD = """
preview_holes.sys = type(sys)('sys')
print(json.dumps(preview_holes._free_blocks()))
"""


def newer() -> str | None:
    """An interpreter of this machine that has immortal objects; None where there is none."""
    if sys.version_info >= (3, 12):
        return sys.executable
    wanted = [f"python3.{minor}" for minor in (12, 13, 14)]
    folders = [Path(one) for one in os.environ["PATH"].split(os.pathsep)]
    folders += sorted(Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/*/bin"))
    for path in (folder / name for folder in folders for name in wanted):
        # Those of version managers may be names without a program.
        if path.exists() and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(path)
    return None


NEWER = newer()
needs_newer = pytest.mark.skipif(NEWER is None, reason="no Python from 3.12 on is installed")


def run(text: str, interpreter: str | None = sys.executable, **names: object) -> Any:
    assert interpreter is not None
    begin = f"import gc, json, sys; sys.path[:0] = {[str(TEMPLATE), str(LAUNCHERS)]!r}\n"
    begin += "import preview_immortal, preview_holes\n"
    begin += "".join(f"{name} = {value!r}\n" for name, value in names.items())
    said = subprocess.run([interpreter, "-I", "-S", "-c", begin + text], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout.splitlines()[-1])


@needs_newer
def test_what_a_fork_refers_to_is_not_copied_where_it_is_not_counted() -> None:
    counted, not_counted = (run(PAGES, NEWER, MADE=made) for made in (False, True))
    # What it makes itself: three lists of pointers.
    assert not_counted < counted / 2


@needs_newer
def test_only_what_was_there_stays_for_ever() -> None:
    assert sorted(run(COUNTED, NEWER)) == ["after", "ring"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this interpreter can")
def test_an_interpreter_without_immortal_objects_counts_as_ever() -> None:
    assert sorted(run(COUNTED)) == ["after", "before", "ring"]


@needs_newer
@pytest.mark.parametrize(
    "unlike",
    [
        "preview_immortal.sys.implementation.name = 'another'",
        "preview_immortal.sysconfig.get_config_var = lambda _name: 1",
        "preview_immortal._WIDE = 4",
        "preview_immortal._IMMORTAL = 0",
        # A count that is another than is thought: it goes on from there.
        "preview_immortal._IMMORTAL = 1 << 20",
        "preview_immortal._count_of = lambda _place: type('count', (), {'value': 7})()",
    ],
)
def test_an_interpreter_that_is_not_as_it_is_thought_to_be_counts_as_ever(unlike: str) -> None:
    assert sorted(run(f"{unlike}\n{COUNTED}", NEWER)) == ["after", "before", "ring"]


@pytest.mark.parametrize("interpreter", sorted({sys.executable, NEWER or sys.executable}))
def test_free_places_are_taken(interpreter: str) -> None:
    before, taken, left = run(HOLES, interpreter)
    assert taken > 0.9 * before
    assert left < before / 4


def test_with_another_c_library_its_heap_stays_as_it_is() -> None:
    assert run(OTHER_LIBRARY) == 0


def test_without_standard_error_nothing_more_is_open_afterwards() -> None:
    text = (
        "import os; os.close(2); preview_holes._free_blocks(); print(json.dumps(sorted(os.listdir('/proc/self/fd'))))"
    )
    # The last one is the listing's own.
    assert run(text) == ["0", "1", "2"]


def test_an_interpreter_that_does_not_tell_of_its_pools_keeps_them() -> None:
    assert run(NOT_TOLD) == []
