"""Makes objects that exist before a fork immortal, so that their references are no longer counted.

Python counts references in the objects themselves, so a fork writes to (and copies) the page of every object it uses.
Since Python 3.12 an object can be immortal: a special value of its count means "not counted". The interpreter makes its
own objects immortal, such as ``None``. This module does the same to everything that a template has imported, which is
never freed anyway. Python before 3.12 has no such value, and the module does nothing.

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

# Lower half of the count: a negative value, as a signed number, is not counted. From 3.14 on the value leaves space
# above, because extensions with an older stable ABI still count.
_ALL_BITS, _WITH_ROOM = 0xFFFFFFFF, 3 << 30
_BY_VERSION = {(3, 12): _ALL_BITS, (3, 13): _ALL_BITS, (3, 14): _WITH_ROOM}
_IMMORTAL = _BY_VERSION.get(sys.version_info[:2], 0)
_SIGN = 1 << 31
_WIDE = 8

_count_of = ctypes.c_uint32.from_address


def count_no_more() -> int:
    """Make all objects immortal that are reachable from the collector's; return how many were changed.

    Returns 0 if this interpreter has no immortal objects. Takes a microsecond per object. Call it before ``gc.freeze``,
    because the collector does not list frozen objects.
    """
    if not _is_possible():
        return 0
    made = 0
    found: list[Any] = gc.get_objects()
    # These two are temporary, and must stay mortal.
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
    """Return the references of a code object that the collector does not follow."""
    return (
        code.co_consts, code.co_names, code.co_filename, code.co_name, code.co_qualname, code.co_linetable,
        code.co_exceptiontable,
    )  # fmt: skip


def _is_possible() -> bool:
    """Test on one object whether the reference count is at the expected offset and can become immortal."""
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
    # An immortal object is never freed; otherwise the count must be restored.
    if count.value != _IMMORTAL or not stands:
        count.value = before
        return False
    return True
