"""Mends of packages that a program asks for and that no manifest names. Pure functions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preview.detection import Toolchain
from preview.environments import OWN_NAMES, distribution_of, is_known_module, named_after
from preview.environments.node.imported import package_of
from preview.supervisor.mending.model import ERROR, FailedStart, Mend, newest_error
from preview.supervisor.mending.node_packages import SCOPES, WELL_KNOWN_NODE

_PYTHON: Final = re.compile(r"(?:ModuleNotFoundError: |^)No module named '(?P<name>[A-Za-z_][\w.]{0,200})'")
_NODE: Final = re.compile(r"Cannot find (?:module|package) '(?P<name>[^']{1,214})'")
# What packages say of a package that they want, by what brings it.
_SAID: Final = (
    (re.compile(r"python-multipart\"? (?:to be|is not|must be)|install python-multipart"), "python-multipart"),
    (re.compile(r"email-validator is not installed|install email-validator|No module named 'email_validator'"),
     "email-validator"),
    (re.compile(r"jinja2 must be installed"), "jinja2"),
    (re.compile(r"itsdangerous.{0,40}(?:must be installed|is required)"), "itsdangerous"),
    (re.compile(r"Error loading psycopg2? (?:or psycopg )?module|the psycopg2 (?:module|package)"), "psycopg2-binary"),
    (re.compile(r"Error loading MySQLdb module"), "mysqlclient"),
    (re.compile(r"Pillow is not installed"), "pillow"),
    (re.compile(r"the greenlet library is required"), "greenlet"),
    (re.compile(r"httpx package to be installed|install httpx"), "httpx"),
    (re.compile(r"bcrypt: no backends available"), "bcrypt"),
    (re.compile(r"argon2: no backends available"), "argon2-cffi"),
    (re.compile(r"async extra.{0,40}flask\[async\]|flask\[async\]"), "asgiref"),
    (re.compile(r"No supported WebSocket library detected"), "websockets"),
    # Flask-Marshmallow has these only beside the package.
    (re.compile(r"'Marshmallow' object has no attribute 'SQLAlchemy(?:Auto)?Schema'"), "marshmallow-sqlalchemy"),
    (re.compile(r"Please install uvicorn\[standard\]"), "websockets"),
)  # fmt: skip
_DIALECTS: Final = {"pg": "pg", "mysql2": "mysql2", "sqlite3": "sqlite3", "tedious": "tedious", "mariadb": "mariadb"}
# A logger loads its output by name.
_TRANSPORT: Final = re.compile(r"unable to determine transport target for \"(?P<name>pino-[\w-]{1,40})\"")
# What TypeORM and NestJS say of a package that only a setting of the project asks for.
_NAMED: Final = (
    re.compile(
        r"package has not been found installed\. (?:Please run|Try to install it:) [\"`']?"
        r"npm install (?P<name>[\w@/.-]{1,100})"
    ),
    re.compile(r"The \"(?P<name>[\w@/.-]{1,100})\" package is missing\. Please"),
)
_INSTALL_MANUALLY: Final = re.compile(r"Please install (?P<name>\w{2,20}) package manually")
_NEAR: Final = 12
_CAUSE: Final = "The above exception was the direct cause of the following exception"
# Of a chain of errors; an error of several lines, and the empty line below it.
_MOST_CAUSES: Final = 4
_ABOVE: Final = 6
# The first file of Node's list, or the file of an ES module.
_REQUIRER: Final = re.compile(r"(?:^- | imported from '?)(?P<path>/.{1,400}?)'?$")
# So many packages of one name are parts of one module.
_FAMILY: Final = 3
_MOST_MEMBERS: Final = 40
# Node prints what it cannot find in the line of the error, or right below it.
_BELOW: Final = 4


def mend_modules(failed: FailedStart) -> Mend | None:
    """Return the package that provides what the last lines lack; None if they lack none, or it is the project's own."""
    is_node = failed.plan.toolchain is Toolchain.NODE
    if not is_node and (family := _family(failed)) is not None:
        return family
    find = _of_node if is_node else _of_python
    have = {_name(line) for line in failed.plan.extra_requirements}
    for missing, package in find(failed):
        if _name(package) in failed.required:
            continue
        if _name(package) not in have | failed.withheld and _is_valid(failed, package):
            return Mend(f"{missing} is missing and no manifest names it: installing {package}", requirements=(package,))
    return None


def _family(failed: FailedStart) -> Mend | None:
    """Return the packages that share a missing module, if the project has them in a group that is not installed.

    ``opentelemetry`` is made of ``opentelemetry-api``, ``opentelemetry-sdk`` and many others.
    """
    number = newest_error(failed.lines)
    match = None if number is None else _PYTHON.search(failed.lines[number])
    top = "" if match is None else match["name"].partition(".")[0]
    if not top or top in failed.own or top in OWN_NAMES or top in sys.stdlib_module_names:
        return None
    have = {_name(line) for line in failed.plan.extra_requirements} | failed.withheld
    members = {name: line for name, line in failed.spare.items() if name.startswith(f"{canonicalize_name(top)}-")}
    missing = {name: line for name, line in members.items() if name not in have and _is_valid(failed, line)}
    if len(members) < _FAMILY or not missing or canonicalize_name(top) in failed.spare:
        return None
    shown = ", ".join(sorted(missing)[:_FAMILY]) + (" …" if len(missing) > _FAMILY else "")
    why = f"the module {top} is missing, and its packages are in a group of the project: installing {shown}"
    return Mend(why, requirements=tuple(list(missing.values())[:_MOST_MEMBERS]))


def _is_valid(failed: FailedStart, line: str) -> bool:
    """Return False for a line that no installer takes: a module's name may be none of a package (``config_``)."""
    if failed.plan.toolchain is Toolchain.NODE:
        return True
    try:
        return Requirement(line.partition(" --")[0]).url is None
    except InvalidRequirement:
        return False


def _name(line: str) -> str:
    head = re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0]
    return canonicalize_name(head) if not line.startswith("@") else line


def _of_python(failed: FailedStart) -> Iterator[tuple[str, str]]:
    number = newest_error(failed.lines)
    near = failed.lines[max(0, number - _NEAR) : number + _NEAR] if number is not None else failed.lines[-_NEAR:]
    near = [*_causes(failed.lines[:number]), *near]
    for line in reversed(near):
        for pattern, package in _SAID:
            if pattern.search(line):
                yield package, package
        if match := _PYTHON.search(line):
            yield from _package_of(failed, match["name"])


def _causes(lines: Sequence[str]) -> Iterator[str]:
    """Yield the errors of which the newest is a consequence: of a formatter of logging, the module that it lacks."""
    ends = [number for number, line in enumerate(lines) if line.startswith(_CAUSE)]
    for end in ends[-_MOST_CAUSES:]:
        yield from (line for line in lines[max(0, end - _ABOVE) : end] if ERROR.match(line))


def _package_of(failed: FailedStart, module: str) -> Iterator[tuple[str, str]]:
    """Yield the package of a module that is neither Python's nor the project's.

    Python names a dotted module only if its first part exists. So a package is missing only if several share that part
    (``google.cloud.storage``), and these are known.
    """
    top = module.partition(".")[0]
    if top in failed.own or top in OWN_NAMES or top in sys.stdlib_module_names or top.startswith("_"):
        return
    name, package = distribution_of(module)
    if not is_known_module(name) and ("." in module or top in _parts(failed)):
        return
    yield (
        f"the module {name}",
        (
            failed.spare.get(canonicalize_name(package))
            or failed.spare.get(named_after(top, failed.spare) or "", package)
        ),
    )


def _parts(failed: FailedStart) -> frozenset[str]:
    """Return the names of the project's modules and folders at any depth."""
    return frozenset(part.partition(".")[0] for name in failed.files for part in name.split("/"))


def _of_node(failed: FailedStart) -> Iterator[tuple[str, str]]:
    """Yield well-known packages, and what another package requires.

    Any other name in the project's own files may be an alias or a folder of its own.
    """
    number = newest_error(failed.lines)
    for line in failed.lines[-_NEAR:]:
        match = next((found for pattern in _NAMED if (found := pattern.search(line))), None)
        if match is not None and (match["name"] in WELL_KNOWN_NODE or match["name"].partition("/")[0] in SCOPES):
            yield f"the package {match['name']}", match["name"]
    for line in () if number is None else failed.lines[number : number + _BELOW]:
        if match := _INSTALL_MANUALLY.search(line):
            package = _DIALECTS.get(match["name"])
            if package is not None:
                yield f"the driver {package}", package
        if match := _NODE.search(line) or _TRANSPORT.search(line):
            package = package_of(match["name"])
            head = "" if package is None else package.partition("/")[0]
            is_known = package in WELL_KNOWN_NODE or head in SCOPES or _is_peer(failed.lines, number)
            if package is not None and is_known and head not in failed.own | _parts(failed):
                yield f"the package {package}", package
            return


def _is_peer(lines: Sequence[str], number: int | None) -> bool:
    """Return whether an installed package requires the missing one: installers of old leave peers out."""
    below = lines[number : number + _BELOW] if number is not None else ()
    by = next((match["path"] for line in below if (match := _REQUIRER.search(line))), "")
    return "/node_modules/" in by
