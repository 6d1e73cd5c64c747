"""The preview service inside a FastAPI application: the host's generations, the host's users, one process.

Run it with any ASGI server, of asyncio or trio:

    uvicorn --app-dir examples embed_fastapi:app

then launch a preview as the host's user "ann":

    curl -X POST -H 'X-Host-User: ann' http://127.0.0.1:8000/preview/api/v1/generations/hello/preview/launch
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from preview import Generation, Identity, User, create_app
from preview.errors import GenerationNotFound

HELLO = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def hello() -> dict[str, str]:
    print("somebody says hello", flush=True)
    return {"hello": "from a generation of the host's"}
"""


class HostGenerations:
    """The host's own store of generated projects: here a dict, in your application a table or a bucket."""

    def __init__(self) -> None:
        self.files = {"hello": {"main.py": HELLO, "requirements.txt": "fastapi\n"}}
        self.owners = {"hello": "ann"}

    async def get(self, generation_id: str) -> Generation:
        """What the service must know of a generation."""
        if generation_id not in self.files:
            raise GenerationNotFound(f"There is no generation {generation_id!r}.")
        return Generation(generation_id, "demo", self.owners[generation_id], datetime(2026, 1, 1, tzinfo=UTC))

    async def write_files(self, generation_id: str, directory: Path) -> None:
        """Write the generation's files into an empty folder."""
        for name, content in self.files[generation_id].items():
            (directory / name).write_text(content)


async def host_authenticate(scope: Mapping[str, Any]) -> Identity | None:
    """Who is asking, as the host knows it: here a header, in your application its session or its own tokens."""
    for name, value in scope["headers"]:
        if name == b"x-host-user":
            return Identity(User(value.decode(), tier="pro"), datetime.now(UTC) + timedelta(hours=1))
    return None


preview = create_app(authenticate=host_authenticate, generations=HostGenerations())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """A mount does not forward the lifespan: the host enters the service in its own."""
    async with preview.running():
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/preview", preview)


@app.get("/")
async def index() -> dict[str, str]:
    """The host's own route."""
    return {"host": "its own routes work as ever", "preview": "/preview/docs"}
