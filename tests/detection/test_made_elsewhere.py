"""An application that another module's factory makes is started, and not a smaller one that it mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.detection import detect

SMALL = """\
from blacksheep import Application, Router

router = Router()
v1 = Application(router=router)


@router.get("/parcels")
async def parcels():
    return []
"""
FACTORY = """\
from blacksheep import Application

from server.v1 import v1


def {name}() -> Application:
    app = Application()

    @app.router.get("/letters")
    async def letters():
        return []

    app.mount("/v1", v1)
    return app
"""


@pytest.mark.parametrize("name", ["create", "make", "new_post"])
def test_the_application_of_an_imported_factory_is_started(tmp_path: Path, name: str) -> None:
    (tmp_path / "server").mkdir()
    files = {
        "requirements.txt": "blacksheep\nuvicorn\n",
        "server/__init__.py": "",
        "server/v1.py": SMALL,
        "server/main.py": FACTORY.format(name=name),
        "app.py": f"from server.main import {name}\n\napp = {name}()\n",
    }
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    target = detect(tmp_path).target
    assert target is not None
    assert (target.module, target.attribute) == ("app", "app")
