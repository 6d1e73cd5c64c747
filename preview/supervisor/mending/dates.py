"""Mend of an API that has changed: the error is raised by a package, or by an import from one. Pure."""

from __future__ import annotations

import re
import sys
from typing import Final

from preview.detection import Toolchain
from preview.supervisor.mending.model import FailedStart, Mend, newest_error

_CHANGED: Final = re.compile(r"(?:ModuleNotFoundError|ImportError|AttributeError|TypeError): ")
_FRAME: Final = re.compile(r'\s{0,8}File "(?P<path>[^"]{1,400})", line \d{1,7}')
_PACKAGES: Final = "/site-packages/"
_OF_MODULE: Final = (
    re.compile(r"ImportError: cannot import name '\w{1,100}' from '(?P<module>[A-Za-z_]\w{0,100})[.\w]{0,200}'"),
    re.compile(r"AttributeError: module '(?P<module>[A-Za-z_]\w{0,100})[.\w]{0,200}' has no attribute "),
    # Python names a dotted module only if its first part exists.
    re.compile(r"ModuleNotFoundError: No module named '(?P<module>[A-Za-z_]\w{0,100})\.[.\w]{1,200}'"),
)
# Lines of a frame: its file, the source, and the marks below it.
_FRAME_LINES: Final = 4


def mend_date(failed: FailedStart) -> Mend | None:
    """Return a choice of all packages as of the project's day; None if no day is known, or the error is another one."""
    number = newest_error(failed.lines)
    if number is None or failed.plan.toolchain is not Toolchain.PYTHON or not failed.has_day or failed.plan.is_dated:
        return None
    if not _CHANGED.match(failed.lines[number]):
        return None
    if not (_is_raised_by_package(failed, number) or _names_package(failed, number)):
        return None
    return Mend("the error comes from a package: choosing all packages as of the project's day", is_dated=True)


def _is_raised_by_package(failed: FailedStart, number: int) -> bool:
    """Return whether the innermost frame above the error belongs to an installed package."""
    above = reversed(failed.lines[max(0, number - _FRAME_LINES) : number])
    frame = next((match for line in above if (match := _FRAME.match(line))), None)
    return frame is not None and _PACKAGES in frame["path"]


def _names_package(failed: FailedStart, number: int) -> bool:
    """Return whether the error names a module of a package: neither the project's own nor Python's."""
    match = next((found for pattern in _OF_MODULE if (found := pattern.match(failed.lines[number]))), None)
    return match is not None and match["module"] not in failed.own | sys.stdlib_module_names
