"""Serves a Django project on the inherited socket, as ``runserver`` does: static files too, on this machine's names.

``python serve_django.py FD APP_DIR SETTINGS ORIGIN [--asgi]``; ORIGIN is the preview's own address. What is changed in
the settings, in memory only, is told in the log.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any
from urllib.parse import urlsplit

__all__ = ["main"]

_LOCAL = ("localhost", ".localhost", "127.0.0.1", "[::1]")


def main(arguments: list[str]) -> None:
    """Adjust the settings to where it runs, then serve until SIGTERM."""
    # Found beside this file, which is run by its path: there is no package around it in the child.
    from preview_serving import become_main, say, serve_wsgi  # type: ignore[import-not-found]  # noqa: PLC0415

    descriptor, app_dir, settings_module, origin = arguments[:4]
    become_main(app_dir, "manage.py")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", settings_module)
    settings = importlib.import_module("django.conf").settings
    for change in _adjust(settings, origin):
        say(change)
    if "--asgi" in arguments[4:]:
        _serve_asgi(settings, int(descriptor))
        return
    application = importlib.import_module("django.core.servers.basehttp").get_internal_wsgi_application()
    handlers = importlib.import_module("django.contrib.staticfiles.handlers")
    serve_wsgi(handlers.StaticFilesHandler(application) if _serves_static(settings) else application, int(descriptor))


def _serve_asgi(settings: Any, descriptor: int) -> None:
    importlib.import_module("django").setup()
    module_name, _, name = settings.ASGI_APPLICATION.rpartition(".")
    application = getattr(importlib.import_module(module_name), name)
    handlers = importlib.import_module("django.contrib.staticfiles.handlers")
    if _serves_static(settings):
        application = handlers.ASGIStaticFilesHandler(application)
    importlib.import_module("uvicorn").run(application, fd=descriptor, use_colors=True)


def _serves_static(settings: Any) -> bool:
    return "django.contrib.staticfiles" in settings.INSTALLED_APPS and bool(settings.STATIC_URL)


def _adjust(settings: Any, origin: str) -> list[str]:
    """Let this machine's own names in; one sentence for each change."""
    changes = []
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


def _allows(settings: Any, name: str) -> bool:
    if settings.DEBUG and not settings.ALLOWED_HOSTS and name in _LOCAL:
        return True
    request = importlib.import_module("django.http.request")
    return bool(request.validate_host(name.lstrip("."), settings.ALLOWED_HOSTS))


if __name__ == "__main__":
    main(sys.argv[1:])
