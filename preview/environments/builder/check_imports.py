"""Try a project's imports of packages in its environment, and print as JSON those that fail inside a package.

Runs in the environment's own Python, from 3.6 on, in the build's jail. Its output is the word of strangers' code.

Arguments: a file with the imports as JSON (``[["flask", "escape"]]``), and the path of the launcher ``preview_aged``.
"""

import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path

# Errors that a package of an unsuitable version raises at its import. Others, like Django's ImproperlyConfigured, say
# that the application is not set up, which this program does not do.
_KINDS = (ImportError, AttributeError, TypeError, ValueError, NameError, SyntaxError)
_UNCONFIGURED = {"ImproperlyConfigured", "AppRegistryNotReady"}
_MOST = 20
_SHOWN = 500


def _is_telling(error: BaseException) -> bool:
    if type(error).__name__ in _UNCONFIGURED:
        return False
    if isinstance(error, ModuleNotFoundError):
        # A part of an installed package is missing. A package that is not installed at all is no matter of versions.
        top, _, rest = (error.name or "").partition(".")
        return bool(rest) and top in sys.modules
    return isinstance(error, _KINDS) or type(error).__module__.partition(".")[0] == "pydantic"


def _load(module: str, name: str) -> None:
    found = importlib.import_module(module)
    if name in {"", "*"} or hasattr(found, name):
        return
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{module}.{name}":
            raise
        raise ImportError(f"cannot import name {name!r} from {module!r}") from None


def _reason(module: str, name: str) -> str:
    """Return why the import fails in an installed package; empty if it works, or fails for another reason."""
    try:
        _load(module, name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  packages raise anything
        said = str(error).strip().split("\n")[0]
        return f"{type(error).__name__}: {said}"[:_SHOWN] if _is_telling(error) else ""
    return ""


def _prepare(aged: str) -> None:
    """Do what a launcher does before the application's imports, as far as packages need it."""
    with contextlib.suppress(Exception):
        spec = importlib.util.spec_from_file_location("preview_aged", aged)
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        module.give_back(lambda _line: None)
    with contextlib.suppress(Exception):
        importlib.import_module("django.conf").settings.configure()
        importlib.import_module("django").setup()


def main(imports: str, aged: str) -> None:
    """Try the imports one after the other and print the failures in the last line."""
    wanted = json.loads(Path(imports).read_text("utf-8"))
    _prepare(aged)
    failed = [[module, name, why] for module, name in wanted for why in [_reason(module, name)] if why]
    sys.stdout.write("\n" + json.dumps({"preview-imports": failed[:_MOST]}) + "\n")
    sys.stdout.flush()
    # Threads of imported packages must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
