"""Serves a Django project on the inherited socket, like ``runserver``, with static files and the host names needed.

``python serve_django.py FD APP_DIR SETTINGS ORIGIN [--asgi] [--control FD]``; ORIGIN is the preview's own address.
Changes of the settings are made in memory only, and logged.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import sys
import traceback
from typing import Any
from urllib.parse import urlsplit

_LOCAL = ("localhost", ".localhost", "127.0.0.1", "[::1]")


def load(arguments: list[str]) -> None:
    """Import the project, its models and its routes; ``main`` with the same arguments then finds them loaded."""
    from preview_serving import become_main  # type: ignore[import-not-found]  # noqa: PLC0415

    become_main(arguments[1], "manage.py")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", arguments[2])
    settings = importlib.import_module("django.conf").settings
    importlib.import_module("django").setup()
    importlib.import_module(settings.ROOT_URLCONF)


def main(arguments: list[str]) -> None:
    """Adjust the settings to the preview's address, then serve until SIGTERM."""
    # Modules in this file's folder: the file is run by its path, without a package.
    from preview_control import SILENT_S, open_control  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_serving import become_main, say  # noqa: PLC0415
    from preview_wsgi import serve_wsgi  # type: ignore[import-not-found]  # noqa: PLC0415

    is_asgi = "--asgi" in arguments[4:]
    if is_asgi:
        from preview_asgi import hand_over, serving_options  # type: ignore[import-not-found]  # noqa: PLC0415
    descriptor, app_dir, settings_module, origin = arguments[:4]
    control = open_control(arguments)
    become_main(app_dir, "manage.py")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", settings_module)
    settings = importlib.import_module("django.conf").settings
    for change in _adjust(settings, origin):
        say(change)
    _tell_errors(settings)
    if is_asgi:
        uvicorn: Any = importlib.import_module("uvicorn")
        hand_over(uvicorn, int(descriptor), control, SILENT_S)
        asgi_application = _asgi_application(settings)
        _load_urls(settings)
        uvicorn.run(asgi_application, **serving_options(uvicorn, int(descriptor)))
        return
    application = importlib.import_module("django.core.servers.basehttp").get_internal_wsgi_application()
    _load_urls(settings)
    handlers = importlib.import_module("django.contrib.staticfiles.handlers")
    served = handlers.StaticFilesHandler(application) if _serves_static(settings) else application
    control.application = application
    serve_wsgi(served, int(descriptor), control, SILENT_S)


def _load_urls(settings: Any) -> None:
    """Import the URL patterns, as ``runserver`` does before it listens; else each request would find the broken import.

    What a database or a server says, such as a table that is missing, may be over at the first request.
    """
    from preview_serving import say  # noqa: PLC0415

    patterns = getattr(settings, "ROOT_URLCONF", None)
    if not patterns:
        return
    try:
        importlib.import_module(patterns)
    except Exception as error:
        if not _may_pass(error):
            raise
        say(f"URL patterns could not be loaded yet: {type(error).__name__}: {error}")


def _may_pass(error: Exception) -> bool:
    """Return whether a server that is asked again may answer. Libraries of servers name their errors by themselves."""
    kinds = (OSError, importlib.import_module("django.db").Error)
    names = (one.__name__ for one in type(error).__mro__)
    return isinstance(error, kinds) or any("Connection" in name or "Timeout" in name for name in names)


def _asgi_application(settings: Any) -> Any:
    """Return the project's ASGI application; Django's own, if that is broken and ``runserver`` would not look at it."""
    from preview_serving import say  # noqa: PLC0415

    importlib.import_module("django").setup()
    module_name, _, name = settings.ASGI_APPLICATION.rpartition(".")
    try:
        application = getattr(importlib.import_module(module_name), name)
    except (AttributeError, ImportError) as error:
        if _runserver_is_asgi(settings):
            raise
        say(f"{settings.ASGI_APPLICATION} cannot be loaded ({error}); requests go to Django alone, as with runserver")
        application = importlib.import_module("django.core.asgi").get_asgi_application()
    handlers = importlib.import_module("django.contrib.staticfiles.handlers")
    return handlers.ASGIStaticFilesHandler(application) if _serves_static(settings) else application


def _runserver_is_asgi(settings: Any) -> bool:
    """Return whether an installed application replaces ``runserver``: Daphne, or Channels before it left that to it.

    Source: Channels' release notes, 4.0.0 (2022).
    """
    if "channels" in settings.INSTALLED_APPS:
        version = str(getattr(importlib.import_module("channels"), "__version__", ""))
        if version.partition(".")[0] in {"1", "2", "3"}:
            return True
    return "daphne" in settings.INSTALLED_APPS


def _serves_static(settings: Any) -> bool:
    return "django.contrib.staticfiles" in settings.INSTALLED_APPS and bool(settings.STATIC_URL)


def _adjust(settings: Any, origin: str) -> list[str]:
    """Allow the preview's own host names and origin; return one sentence for each change to be logged."""
    changes = []
    try:
        settings.SECRET_KEY  # noqa: B018  Django raises an error for an empty one, else in each request
    except importlib.import_module("django.core.exceptions").ImproperlyConfigured:
        settings.SECRET_KEY = secrets.token_urlsafe(50)
        changes.append("SECRET_KEY is empty: a made-up one is used")
    host = urlsplit(origin).hostname or "localhost"
    wanted = [name for name in dict.fromkeys((*_LOCAL, host)) if not _allows(settings, name)]
    if wanted:
        settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, *wanted]
        changes.append(f"ALLOWED_HOSTS would refuse the preview's own address: {', '.join(wanted)} added")
    if settings.SECURE_SSL_REDIRECT:
        settings.SECURE_SSL_REDIRECT = False
        changes.append("SECURE_SSL_REDIRECT is off: the preview is served by plain HTTP")
    with_scheme = importlib.import_module("django").VERSION >= (4, 0)
    trusted = origin if with_scheme else urlsplit(origin).netloc
    if trusted not in settings.CSRF_TRUSTED_ORIGINS:
        settings.CSRF_TRUSTED_ORIGINS = [*settings.CSRF_TRUSTED_ORIGINS, trusted]
    return changes


def _tell_errors(settings: Any) -> None:
    """Write the traceback of each failed request to standard error, which Django does with ``DEBUG`` only."""

    def tell(**_: Any) -> None:
        if not settings.DEBUG and not _has_console():
            traceback.print_exc()

    signals = importlib.import_module("django.core.signals")
    signals.got_request_exception.connect(tell, weak=False)


def _has_console() -> bool:
    """Return whether the project's own logging writes the errors of requests to a stream, whatever ``DEBUG`` is."""
    logger: logging.Logger | None = logging.getLogger("django.request")
    while logger is not None:
        for handler in logger.handlers:
            is_limited = any(type(one).__name__ == "RequireDebugTrue" for one in handler.filters)
            if isinstance(handler, logging.StreamHandler) and not is_limited:
                return True
        logger = logger.parent if logger.propagate else None
    return False


def _allows(settings: Any, name: str) -> bool:
    if settings.DEBUG and not settings.ALLOWED_HOSTS and name in _LOCAL:
        return True
    request = importlib.import_module("django.http.request")
    return bool(request.validate_host(name.lstrip("."), settings.ALLOWED_HOSTS))


if __name__ == "__main__":
    main(sys.argv[1:])
