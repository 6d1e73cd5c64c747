"""Make the tables of a Flask application's models, where the preview supplies the database and nothing else does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from preview.detection.plan import Step
from preview.endpoints import AppTarget
from preview.sources import Sources

# Flask-SQLAlchemy 3 keeps itself under that name, 2 an object with it.
_MAKE: Final = (
    "import importlib,sys;a=getattr(importlib.import_module(sys.argv[1]),sys.argv[2]);a=a() if sys.argv[3:] else a;"
    "c=a.app_context();c.push();e=a.extensions['sqlalchemy'];getattr(e,'db',e).create_all();c.pop()"
)
_USED: Final = b"flask_sqlalchemy"
_MADE: Final = (b"create_all(", b"flask_migrate")


def find_model_tables_step(
    sources: Sources, target: AppTarget, files: Iterable[str], directory: str
) -> tuple[Step, ...]:
    """Return the step; empty if the project makes its tables itself, or has no models of Flask-SQLAlchemy.

    Args:
        sources: The project's files.
        target: The application.
        files: The files that it loads.
        directory: Where it is started.
    """
    texts = [sources.text(file) for file in files]
    if target.framework != "flask" or not any(_USED in text for text in texts):
        return ()
    if any(word in text for text in texts for word in _MADE):
        return ()
    factory = ("factory",) if target.factory else ()
    argv = ("python", "-c", _MAKE, target.module, target.attribute, *factory)
    return (Step("tables", argv, directory, "nothing in the project makes the tables of its models"),)
