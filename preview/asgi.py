"""ASGI application for a plain server: ``uvicorn preview.asgi:app``.

Settings come from environment variables, and from a ``.env`` file in the working directory.
"""

import structlog

from preview.core.env_file import find_env_file
from preview.http import create_app
from preview.settings import load_settings, settings_in, variable_of

__all__ = ["app"]

_file = find_env_file()
app = create_app(load_settings(_file))
if _file is not None:
    structlog.get_logger(__name__).info(
        "settings file found",
        path=str(_file),
        names=[variable_of(name) for name in settings_in(_file)],
        skipped=_file.skipped,
    )
