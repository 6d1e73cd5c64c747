"""Reasons for a cold start: settings that a fork of a template could not follow."""

from __future__ import annotations

from preview.core.isolation import Network
from preview.runtime.interface import ProcessSpec, WarmStart
from preview.runtime.warm.template_process import NoTemplate, Told

# What the interpreter and the C library read before any code runs: a template was started without them.
_READ_AT_START = ("LD_", "PYTHON", "GLIBC_", "MALLOC_", "LOCPATH", "GCONV_PATH")
# What libraries in C read when they are loaded, past Python: nobody records that.
_READ_BY_LIBRARIES = ("OPENSSL_", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "GRPC_")
# How texts are encoded; read at the start as well. All of UTF-8 are one.
_ENCODINGS = ("LC_ALL", "LC_CTYPE", "LANG")
_SAME_FOR_ALL = frozenset({"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"})
# A preview has folders of its own: who asks for them while it is imported means those of the moment.
_OWN_PLACES = frozenset({"HOME", "PATH", "PWD", "TMPDIR"})
# Read again by whatever wants to know it: Django cannot keep that it has no settings, Flask asks for each application.
_READ_AGAIN = frozenset({"DJANGO_SETTINGS_MODULE", "FLASK_DEBUG", "FLASK_ENV"})


def check_start(spec: ProcessSpec) -> None:
    """Check that the process may be forked, from any template.

    Raises:
        NoTemplate: It is to be started cold; says why.
    """
    if spec.warm is None or list(spec.argv[1:2]) != [str(spec.warm.launcher)]:
        raise NoTemplate("it is started by a command of its own")
    if spec.network is not Network.NONE:
        raise NoTemplate(f"its network is {spec.network}, and templates have none")
    if spec.port is not None:
        raise NoTemplate("connections are carried to it")
    for name, value in spec.environment.items():
        if _counts_from_the_start(name, value):
            raise NoTemplate(f"{name} is set, which counts from the interpreter's start")


def check_project(spec: ProcessSpec, warm: WarmStart, told: Told) -> None:
    """Check that the template's imports have no effect that this project must not find.

    Raises:
        NoTemplate: It has; says what.
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
