"""Objects that are there before a fork, and whose references are not counted any more.

Python counts references in the objects themselves, so that a fork writes to (and copies) the page of whatever it uses.
Since Python 3.12 an object may be immortal: its count stands for "not counted". The interpreter makes its own so, as
``None``; here it is done to all that a template has imported, which never goes away anyway. Before 3.12 there is no
such count, and nothing is done.

Sources: PEP 683; Include/object.h and Include/refcount.h of CPython 3.12 to 3.14.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import sysconfig
import types
from collections.abc import Iterable
from typing import Any

# The lower half of the count; what is negative as a signed number is not counted. From 3.14 on there is space above, as
# extensions of an older stable ABI count all the same.
_ALL_BITS, _WITH_ROOM = 0xFFFFFFFF, 3 << 30
_BY_VERSION = {(3, 12): _ALL_BITS, (3, 13): _ALL_BITS, (3, 14): _WITH_ROOM}
_IMMORTAL = _BY_VERSION.get(sys.version_info[:2], 0)
_SIGN = 1 << 31
_WIDE = 8

_count_of = ctypes.c_uint32.from_address


def count_no_more() -> int:
    """Make all objects immortal that can be found from those that the collector knows; how many there were.

    0 where this interpreter has no such objects. Takes a microsecond each. Call it before ``gc.freeze``, whose
    objects the collector does not tell of.
    """
    if not _is_possible():
        return 0
    made = 0
    found: list[Any] = gc.get_objects()
    # What is made here goes away again.
    seen = {id(found)}
    seen.add(id(seen))
    while found:
        one = found.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        count = _count_of(id(one))
        if count.value < _SIGN:
            count.value = _IMMORTAL
            made += 1
        found += gc.get_referents(one)
        if type(one) is types.CodeType:
            found += _parts(one)
    return made


def _parts(code: types.CodeType) -> Iterable[object]:
    """Return the references of code that the collector does not follow."""
    return (
        code.co_consts, code.co_names, code.co_filename, code.co_name, code.co_qualname, code.co_linetable,
        code.co_exceptiontable,
    )  # fmt: skip


def _is_possible() -> bool:
    """Return whether reference counts are at the expected place, by trying on an object."""
    if (
        not _IMMORTAL
        or sys.implementation.name != "cpython"
        or sys.byteorder != "little"
        or ctypes.sizeof(ctypes.c_void_p) != _WIDE
        or sysconfig.get_config_var("Py_GIL_DISABLED")
    ):
        return False
    one = object()
    count = _count_of(id(one))
    before = count.value
    held = [one] * 3
    if count.value != before + len(held):
        return False
    count.value = _IMMORTAL
    held += [one] * 3
    stands = count.value == _IMMORTAL
    del held
    # It stays for ever, where it is immortal; else it must be counted as before.
    if count.value != _IMMORTAL or not stands:
        count.value = before
        return False
    return True
