"""Projects with tiny local wheels: real builds by the real installer, without the network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest
import trio


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    requires: tuple[str, ...] = (),
    more: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """A wheel with one module that knows its version, and ``more`` files."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **more,
    }
    noted = "".join(f"{file},{_digest(text)},{len(text.encode())}\n" for file, text in files.items())
    files[f"{info}/RECORD"] = f"{noted}{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def use_wheels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all there is to install from."""
    wheels, simple = folder / "index", folder / "simple"
    wheels.mkdir()
    simple.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_DEFAULT_INDEX", simple.as_uri())
    return wheels


def _digest(text: str) -> str:
    found = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={found.decode().rstrip('=')}"


@dataclass
class Said:
    """What a build reported."""

    lines: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, line: str, level: int) -> None:
        self.lines.append((line, level))

    @property
    def text(self) -> str:
        return "\n".join(line for line, _ in self.lines)


def read_if_there(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def wait_for_file(path: Path) -> str:
    while not (text := read_if_there(path)):  # noqa: ASYNC110  another process writes it
        await trio.sleep(0.01)
    return text


async def wait_until_gone(pid: int) -> None:
    while is_alive(pid):  # noqa: ASYNC110  somebody else's child: nothing to wait for
        await trio.sleep(0.01)
