"""``hypercorn -k trio preview.asgi:app``: the app for a plain ASGI server, settings from the environment."""

from preview.http import create_app

__all__ = ["app"]

app = create_app()
