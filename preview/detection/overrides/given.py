"""Overrides from the project's ``preview.toml`` and the launch request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from preview.core.isolation import Network
from preview.core.lifecycle import OnCrash
from preview.detection.plan import Origin, Server, Step, Variable


@dataclass(frozen=True, slots=True)
class Overrides:
    """Explicit parts of the start plan. Detection decides those that are None or empty.

    Attributes:
        framework: One of ``FRAMEWORKS``.
        app: ``app.main:app``, ``shop:create_app()``; for Django the settings module; for Node the entry file.
        factory: ``app`` names a function that returns the application.
        directory: The working folder, relative to the project.
        command: A whole command, which listens at ``PORT``.
        server: How the application gets its socket.
        health: The path of the health check, such as ``/healthz``.
        network: The requested network access.
        isolation: ``container``, if the project wants a container.
        dockerfile: The Dockerfile that starts the project, relative to it.
        trace: Record spans of each request; see ``preview.tracing``.
        on_crash: What happens when the process of the running preview crashes.
        manifests: The folder of the manifest that lists the requirements, relative to the project.
        python_path: Folders for ``PYTHONPATH``, relative to the project.
        steps: Commands that run before the application, in place of the detected ones.
        skip_steps: Names of steps to skip; True skips all.
        variables: Environment variables by name; each has the file or the request as its origin. One that is made up
            comes from a failed attempt, and counts only in place of no value or of the one that the attempt had.
        withdrawn: Names of variables that get no value from here; what somebody has given stays.
        extra_requirements: Requirements that no manifest declares, as lines for the installer.
        added_path: Folders for the end of ``PYTHONPATH``, whatever else decides it.
        is_own_start: The project's own command starts it, if that names another entry than the detected one.
        is_built: The output of a Node project's own build is started, in place of the sources.
        is_dated: All packages are as of the day that the project's files tell.
        for_older_python: Source of Python 3.14 is edited, in the preview's copy, so that an older Python runs it.
        administers: The project is the administrator of a PostgreSQL server of its own.
        linked_at: Absolute folder at which the programs see the project, too.
        linked_folder: The project's folder that they see there instead.
    """

    framework: str | None = None
    app: str | None = None
    factory: bool | None = None
    directory: str | None = None
    command: tuple[str, ...] | None = None
    server: Server | None = None
    health: str | None = None
    network: Network | None = None
    isolation: Literal["container"] | None = None
    dockerfile: str | None = None
    trace: bool | None = None
    on_crash: OnCrash | None = None
    manifests: str | None = None
    python_path: tuple[str, ...] | None = None
    steps: tuple[Step, ...] | None = None
    skip_steps: tuple[str, ...] | bool | None = None
    variables: Mapping[str, Variable] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()
    extra_requirements: tuple[str, ...] = ()
    added_path: tuple[str, ...] = ()
    is_dated: bool = False
    is_own_start: bool = False
    is_built: bool = False
    for_older_python: bool = False
    administers: bool = False
    linked_at: str | None = None
    linked_folder: str | None = None

    @property
    def is_empty(self) -> bool:
        """True if no override is set."""
        return self == Overrides()


_FLAGS = ("is_dated", "is_own_start", "is_built", "for_older_python", "administers")
_MERGED = frozenset({"variables", "withdrawn", "extra_requirements", "added_path", *_FLAGS})


def merge(lower: Overrides, upper: Overrides) -> Overrides:
    """Combine both: values of ``upper`` take precedence; variables and requirements are merged."""
    names = [item.name for item in fields(Overrides) if item.name not in _MERGED]
    chosen = {
        name: getattr(upper, name) if getattr(upper, name) is not None else getattr(lower, name) for name in names
    }
    # An application and a command are alternatives: the one in ``upper`` replaces the other.
    if upper.app is not None and upper.command is None:
        chosen["command"] = None
    if upper.command is not None and upper.app is None:
        chosen["app"] = None
    return Overrides(
        **chosen,
        variables=_merged(lower.variables, upper.variables),
        withdrawn=tuple(dict.fromkeys((*lower.withdrawn, *upper.withdrawn))),
        extra_requirements=tuple(dict.fromkeys((*lower.extra_requirements, *upper.extra_requirements))),
        added_path=tuple(dict.fromkeys((*lower.added_path, *upper.added_path))),
        **{name: getattr(lower, name) or getattr(upper, name) for name in _FLAGS},
    )


def _merged(lower: Mapping[str, Variable], upper: Mapping[str, Variable]) -> dict[str, Variable]:
    """Merge variables. What is made up never replaces what somebody has given, in any spelling of the name."""
    given = {name.upper() for name, one in lower.items() if one.origin is not Origin.MADE_UP}
    counted = {n: one for n, one in upper.items() if one.origin is not Origin.MADE_UP or n.upper() not in given}
    return {**lower, **counted}
