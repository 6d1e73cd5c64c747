"""The preview service beside a Django application: Django has neither mounts nor a lifespan, so this module has them.

    uvicorn --app-dir examples embed_django:app

The API is below /preview; send ``X-Host-User: ann`` with each request.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from preview import Identity, User, create_app


async def host_authenticate(scope: Mapping[str, Any]) -> Identity | None:
    """Who is asking, as the host knows it: here a header, in your application Django's session."""
    name = dict(scope["headers"]).get(b"x-host-user")
    return None if name is None else Identity(User(name.decode()), datetime.now(UTC) + timedelta(hours=1))


async def index(_: HttpRequest) -> JsonResponse:
    """The host's own view."""
    return JsonResponse({"previews": len(preview.backend.previews.all_active)})


urlpatterns = [path("", index)]
# Of your project: DJANGO_SETTINGS_MODULE.
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="an example")
django.setup()

host = get_asgi_application()
preview = create_app(authenticate=host_authenticate)


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """The server's application: the lifespan opens the service, /preview goes to it, all else to Django."""
    if scope["type"] == "lifespan":
        await preview(scope, receive, send)
    elif scope["path"].startswith("/preview/"):
        await preview({**scope, "root_path": "/preview"}, receive, send)
    else:
        await host(scope, receive, send)
