"""Reasons for a cold start: settings that a fork of a template could not apply."""

from __future__ import annotations

from preview.core.isolation import Network
from preview.runtime.interface import ProcessSpec, WarmStart
from preview.runtime.warm.template_process import NoTemplate, Told

# Read by the interpreter and the C library before any code runs; the template was started without these variables.
_READ_AT_START = ("LD_", "PYTHON", "GLIBC_", "MALLOC_", "LOCPATH", "GCONV_PATH")
# Read by C libraries when they are loaded; such reads bypass Python and are not recorded.
_READ_BY_LIBRARIES = ("OPENSSL_", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "GRPC_")
# Text encoding, also read at the start. All UTF-8 locales are equivalent.
_ENCODINGS = ("LC_ALL", "LC_CTYPE", "LANG")
_SAME_FOR_ALL = frozenset({"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"})
# Each preview has its own folders; a package that reads one of these at import wants the current value.
_OWN_PLACES = frozenset({"HOME", "PATH", "PWD", "TMPDIR"})
# Read again at each use: Django does not remember missing settings, and Flask reads the variables per application.
_READ_AGAIN = frozenset({"DJANGO_SETTINGS_MODULE", "FLASK_DEBUG", "FLASK_ENV"})


def check_start(spec: ProcessSpec) -> None:
    """Check that this start can use a template at all.

    Raises:
        NoTemplate: The start must be cold; the message gives the reason.
    """
    if spec.warm is None or list(spec.argv[1:2]) != [str(spec.warm.launcher)]:
        raise NoTemplate("it is started by a command of its own")
    if spec.network is not Network.NONE:
        raise NoTemplate(f"its network is {spec.network}, and templates have none")
    if spec.links:
        raise NoTemplate(f"its files are also shown at {next(iter(spec.links))}")
    if spec.port is not None:
        raise NoTemplate("connections are carried to it")
    for name, value in spec.environment.items():
        if _counts_from_the_start(name, value):
            raise NoTemplate(f"{name} is set, which takes effect only when the interpreter starts")


def check_project(spec: ProcessSpec, warm: WarmStart, told: Told) -> None:
    """Check that the template's imports do not conflict with the project's modules and variables.

    Raises:
        NoTemplate: There is a conflict; the message names it.
    """
    shadowed = sorted(warm.own & told.loaded)
    if shadowed:
        raise NoTemplate(f"the project has a module of its own named {shadowed[0]}, as a package has")
    for name, value in told.reads.items():
        if name not in _OWN_PLACES | _READ_AGAIN and spec.environment.get(name) != value:
            raise NoTemplate(f"{name} is set, which a package reads when it is imported")


def _counts_from_the_start(name: str, value: str) -> bool:
    if name in _ENCODINGS:
        return value not in ("", "C", "POSIX") and not value.lower().replace("-", "").endswith("utf8")
    return name.startswith((*_READ_AT_START, *_READ_BY_LIBRARIES)) and name not in _SAME_FOR_ALL
