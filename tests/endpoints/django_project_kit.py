"""Small Django projects for the tests that read them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from preview.endpoints import Endpoint, extract_endpoints

__all__ = ["by_route", "django_project", "listed"]

_MANAGE = """
import os
def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
"""
_URLS = "from django.urls import include, path, re_path\nfrom django.conf import settings\n"


def django_project(folder: Path, urls: str = "", **files: str) -> Path:
    """A project whose URL configuration is ``urls``; further files by name, ``__`` for the slash."""
    texts = {
        "manage": _MANAGE,
        "config__settings": "ROOT_URLCONF = 'config.urls'\nINSTALLED_APPS = ['django.contrib.admin', 'shop']\n",
        "config__urls": _URLS + dedent(urls),
    }
    for name, text in (texts | files).items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder


def listed(folder: Path) -> list[str]:
    """Method and path of each endpoint, in order."""
    return [f"{item.method} {item.path}" for item in extract_endpoints(folder)]


def by_route(folder: Path) -> dict[str, Endpoint]:
    """Each endpoint under its method and path."""
    return {f"{item.method} {item.path}": item for item in extract_endpoints(folder)}
