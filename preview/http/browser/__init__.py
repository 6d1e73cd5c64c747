"""Previews in the browser: who may look at one, by which address, and what is shown in its place."""

from preview.http.browser.access_gate import PreviewDoorman
from preview.http.browser.ordinary import serve_ordinary
from preview.http.browser.places import Places
from preview.http.browser.scopes import is_for_preview

__all__ = ["Places", "PreviewDoorman", "is_for_preview", "serve_ordinary"]
