"""The engine's description of an image, whose values come from a project."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from preview.environments.folders.image_source import BuiltImage, HealthCheck
from preview.environments.images.instructions import DEFAULT_SHELL
from preview.errors import EnvironmentFailed
from preview.sources.image_source import ImageSource, health_path_in

_MOST_VARIABLES: Final = 500
_MOST_USER, _MOST_CHECK = 200, 8000
_LEAST_INTERVAL_S = 5.0
_MOST_NS: Final = 10**15
# Folders that a build fills; as a volume each would be empty.
_MADE_BY_BUILDS: Final = frozenset(
    {"node_modules", ".venv", "venv", "site-packages", "vendor", "static", "staticfiles", "public", "dist", "build",
     "target", ".next", "bin", "lib"}
)  # fmt: skip
_PORT: Final = re.compile(r"([0-9]{1,5})(?:/tcp)?")


def is_base(name: str, image: Mapping[str, object], own: Mapping[str, str]) -> bool:
    """Return whether a project may build on an image: it is named, not given by its id, and no service built it.

    Args:
        name: The name that the project uses.
        image: The engine's description.
        own: Labels of images that services build.
    """
    about = _config(image)
    labels, triggers = about.get("Labels") or {}, about.get("OnBuild")
    names = [*_texts(image.get("RepoTags")), *_texts(image.get("RepoDigests"))]
    return full_name(name) in names and not triggers and isinstance(labels, dict) and not own.keys() & labels.keys()


def full_name(name: str) -> str:
    """Return the name of an image with its tag or digest."""
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def has_volumes(image: Mapping[str, object]) -> bool:
    """Return whether the image has volumes."""
    return bool(_config(image).get("Volumes"))


def has_own_shell(image: Mapping[str, object]) -> bool:
    """Return whether the image has another shell than images that name none."""
    return tuple(_texts(_config(image).get("Shell"))) not in ((), DEFAULT_SHELL)


def read_built(described: Mapping[str, object]) -> BuiltImage:
    """Return the image that the engine describes.

    Raises:
        EnvironmentFailed: It has more variables than a program has.
    """
    config = _config(described)
    listed = _texts(config.get("Env"))
    if len(listed) > _MOST_VARIABLES:
        raise EnvironmentFailed(f"The image has more than {_MOST_VARIABLES} variables.", reason="image_build")
    variables = dict(one.partition("=")[::2] for one in listed)
    ports = [int(found[1]) for one in _keys(config.get("ExposedPorts")) if (found := _PORT.fullmatch(one))]
    port = variables.get("PORT", "")
    return BuiltImage(
        name=str(described.get("Id")),
        argv=(*_texts(config.get("Entrypoint")), *_texts(config.get("Cmd"))),
        entrypoint=tuple(_texts(config.get("Entrypoint"))),
        command=tuple(_texts(config.get("Cmd"))),
        variables=variables,
        directory=str(config.get("WorkingDir") or "/"),
        port=int(port)
        if port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536
        else _first_port(ports),
        volumes=tuple(_keys(config.get("Volumes"))),
        user=str(config.get("User") or "")[:_MOST_USER],
        health=_without_address(check := _health(config.get("Healthcheck"), _texts(config.get("Shell")))),
        check=check,
    )


def with_source(image: BuiltImage, source: ImageSource) -> BuiltImage:
    """Return the image with what a compose file says instead."""
    program = image.entrypoint if source.entrypoint is None else source.entrypoint
    arguments = image.command if source.entrypoint is None and source.command is None else source.command or ()
    volumes = [one for one in source.volumes if _MADE_BY_BUILDS.isdisjoint(one.split("/"))]
    check = _health({"Test": list(source.health)}, ()) if source.health else image.check
    check = check and _timed(check, source.health_times)
    return replace(
        image,
        argv=(*program, *arguments),
        directory=source.directory or image.directory,
        port=source.port or image.port,
        volumes=tuple(dict.fromkeys((*image.volumes, *volumes))),
        hosts=source.hosts,
        names=source.names,
        health=_without_address(check),
        check=check,
        waits=source.waits,
    )


def _health(described: object, shell: Sequence[str]) -> HealthCheck | None:
    """Return the check of an image; None without one."""
    found = described if isinstance(described, dict) else {}
    kind, *words = _texts(found.get("Test")) or ["NONE"]
    argv = [*(shell or ("/bin/sh", "-c")), *words[:1]] if kind == "CMD-SHELL" else words
    is_usable = kind in ("CMD", "CMD-SHELL") and bool(words) and sum(map(len, argv)) < _MOST_CHECK
    return _timed(HealthCheck(tuple(argv)), found) if is_usable and not any("\0" in one for one in argv) else None


def _timed(check: HealthCheck, times: Mapping[str, object]) -> HealthCheck:
    """Return the check with the engine's times and retries, as far as these are set, within bounds."""
    retries = times.get("Retries")
    return HealthCheck(
        check.argv,
        interval_s=_seconds(times.get("Interval"), _LEAST_INTERVAL_S, 3600.0, check.interval_s),
        timeout_s=_seconds(times.get("Timeout"), 1.0, 60.0, check.timeout_s),
        retries=min(retries, 100) if isinstance(retries, int) and retries > 0 else check.retries,
        start_s=_seconds(times.get("StartPeriod"), 0.0, 600.0, check.start_s),
    )


def _without_address(check: HealthCheck | None) -> HealthCheck | None:
    """Return the check unless it asks an address, which is a preview's health path."""
    return None if check is None or health_path_in(" ".join(check.argv)) is not None else check


def _seconds(value: object, least: float, most: float, default: float) -> float:
    """Return a duration of the engine, in nanoseconds, within bounds."""
    return min(max(min(value, _MOST_NS) / 1e9, least), most) if isinstance(value, int) and value > 0 else default


def _first_port(ports: Sequence[int]) -> int | None:
    return min((one for one in ports if 0 < one < 65536), default=None)


def _config(image: Mapping[str, object]) -> Mapping[str, object]:
    found = image.get("Config")
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _keys(value: object) -> list[str]:
    return sorted(one for one in value if isinstance(one, str)) if isinstance(value, dict) else []
