"""Discovery of a jail for installers, by running a program in one."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.environments.sandbox.jail import Cage, Jail
from preview.environments.sandbox.program import ProgramResult, run_program, run_uv
from preview.errors import PreviewError
from preview.runtime.cgroups import CgroupTree
from preview.settings import Settings

_log = structlog.get_logger(__name__)

# An idle machine needs milliseconds.
_TIMEOUT_S: Final = 10.0
_WORKSHOP: Final = ".preview-builds"


async def find_jail(settings: Settings, etc: Path, groups: CgroupTree | None = None) -> Jail | None:
    """Return the jail for this service's installers. If none works, log the reason and return None.

    Cancellation: the trial's folders are removed.
    """
    root = settings.cache_dir.absolute() / "environments"
    scratch = root / f".jail-{secrets.token_hex(4)}"
    why = "it did not start in time"
    try:
        said = await run_uv(["cache", "dir"], offline=True)
        jail = await trio.to_thread.run_sync(_describe, etc, root, said)
        cage = Cage(jail, scratch, scratch / "in")
        await trio.to_thread.run_sync(cage.prepare)
        with trio.move_on_after(_TIMEOUT_S):
            tried = await run_program(["/bin/true"], environment={}, directory=Path("/"), cage=cage)
            if tried.code == 0:
                return replace(jail, groups=groups, memory_mb=settings.build_memory_mb, hosts=settings.build_hosts)
            why = " ".join(tried.tail(1)) or f"exit status {tried.code}"
    except (OSError, RuntimeError, PreviewError) as error:  # RuntimeError: the user has no home folder
        why = str(error)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_remove, scratch)
    _log.warning("builds not sandboxed", why=why)
    return None


def _describe(etc: Path, root: Path, said: ProgramResult) -> Jail:
    """Return a jail with the operator's caches, else with the service's own; ``said`` is uv's answer.

    In the service's own caches, a build's leftovers cannot reach anything that the same user installs elsewhere.
    """
    home = Path.home()
    uv_cache = _named_uv_cache(home, said) or root.parent / "uv"
    npm_cache = next(
        (Path(value) for name, value in os.environ.items() if name.lower() == "npm_config_cache" and value),
        root.parent / "npm",
    )
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    pythons = os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python"
    workshop = _make_workshop(uv_cache.absolute(), root)
    return Jail(etc, uv_cache.absolute(), npm_cache.absolute(), Path(pythons).absolute(), workshop)


def _named_uv_cache(home: Path, said: ProgramResult) -> Path | None:
    """Return the uv cache that the operator configured, by a variable or in ``uv.toml``; never uv's default."""
    if said.code != 0 or not said.lines:
        return None
    found = Path(said.lines[-1].strip())
    usual = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "uv"
    return found if os.environ.get("UV_CACHE_DIR") or found != usual else None


def _make_workshop(uv_cache: Path, root: Path) -> Path | None:
    """Return a workshop, after a trial rename from there to ``root``; None if renaming fails."""
    workshop = uv_cache / _WORKSHOP
    name = f".jail-{secrets.token_hex(4)}"
    if workshop.is_symlink():  # another program has created it
        workshop.unlink()
    workshop.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.mkdir(parents=True, exist_ok=True)
    (workshop / name).mkdir()
    try:
        (workshop / name).rename(root / name)
    except OSError:  # another file system, or the same one mounted twice
        (workshop / name).rmdir()
        return None
    (root / name).rmdir()
    return workshop


def _remove(scratch: Path) -> None:
    for path in (scratch / "in" / "home", scratch / "in" / "tmp", scratch / "in", scratch):
        if path.is_dir():
            path.rmdir()
