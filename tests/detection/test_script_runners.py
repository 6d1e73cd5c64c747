"""A file that only defines a server is not the one to run: another file of the project starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.detection import detect

SERVER = """\
from aiohttp import web


def make():
    return web.Application()


def main():
    web.run_app(make(), port=8080)
"""
GUARDED = '\n\nif __name__ == "__main__":\n    main()\n'


def lay(folder: Path, files: dict[str, str]) -> None:
    for name, text in {"requirements.txt": "aiohttp\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


CASES: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "the package's main module": (
        {
            "polls/__init__.py": "",
            "polls/app.py": SERVER,
            "polls/__main__.py": "from polls.app import main\n\nmain()\n",
        },
        ("python", "-m", "polls"),
        ".",
    ),
    "a file beside the package": (
        {"shop/__init__.py": "", "shop/server.py": SERVER, "start.py": "from shop.server import main" + GUARDED},
        ("python", "start.py"),
        ".",
    ),
    "a file in the same folder, by its own name": (
        {"src/app.py": SERVER, "src/run.py": "import app\n\napp.main()\n"},
        ("python", "run.py"),
        "src",
    ),
    "the file itself": (
        {"main.py": SERVER + GUARDED, "other.py": "import main\n\nmain.main()\n"},
        ("python", "main.py"),
        ".",
    ),
    "a package's main module that listens with an application of Tornado which another module makes": (
        {
            "ships/__init__.py": "",
            "ships/app.py": "from tornado import web\n\n\ndef make_app():\n    return web.Application([])\n",
            "ships/__main__.py": "import asyncio\n\nfrom ships.app import make_app\n\n\nasync def main():\n"
            "    make_app().listen(8899)\n    await asyncio.Event().wait()\n\n\n"
            'if __name__ == "__main__":\n    asyncio.run(main())\n',
        },
        ("python", "-m", "ships"),
        ".",
    ),
    "a server of Tornado that binds and starts": (
        {
            "app/__init__.py": "",
            "app/web.py": "from tornado.httpserver import HTTPServer\n\n\ndef main():\n    server = HTTPServer(print)\n"
            "    server.bind(8765)\n    server.start(1)\n",
            "app/__main__.py": "from app.web import main\n\nmain()\n",
        },
        ("python", "-m", "app"),
        ".",
    ),
    "nothing else": ({"main.py": SERVER, "other.py": "print(1)\n"}, ("python", "main.py"), "."),
}


@pytest.mark.parametrize("name", CASES)
def test_the_file_that_starts_the_server_is_run(tmp_path: Path, name: str) -> None:
    files, command, folder = CASES[name]
    lay(tmp_path, files)
    plan = detect(tmp_path)
    assert plan.command == command
    assert plan.directory == folder
