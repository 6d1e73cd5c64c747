"""Plan the start of a project by its ``devcontainer.json``. Source: containers.dev/implementors/json_reference."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from preview.detection.containers.compose import plan_compose
from preview.detection.containers.dockerfile import image_plan
from preview.detection.plan import Origin, ServiceKind, StartPlan, Variable
from preview.detection.settings import is_secret_name
from preview.errors import InvalidGeneration
from preview.sources import Sources
from preview.sources.image_source import ImageSource
from preview.sources.javascript import read_literal

NAMES: Final = (".devcontainer/devcontainer.json", ".devcontainer.json")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,250}")
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w{0,100}")
_LOCAL: Final = re.compile(r"\$\{(?:localEnv|containerEnv):[^:}]{1,100}(?::([^}]{0,1000}))?\}")
_WORKSPACE: Final = "/workspaces/project"
_MOST: Final = 100
_MOST_TEXT: Final = 4000


def find_devcontainer(sources: Sources) -> str | None:
    """Return the project's ``devcontainer.json``; None if it has none."""
    return next((name for name in NAMES if sources.has_file(name)), None)


def plan_devcontainer(sources: Sources, file: str, why: str, kinds: frozenset[ServiceKind]) -> StartPlan:
    """Return the plan of a project that starts in its development container.

    Args:
        sources: The project's files.
        file: The ``devcontainer.json``.
        why: Reason, for the log.
        kinds: Kinds of servers that the preview gets.

    Raises:
        InvalidGeneration: The file names no image, or none that can be built.
    """
    found = read_literal(sources.text(file))
    table: Mapping[str, object] = found if isinstance(found, Mapping) else {}
    folder, said = posixpath.dirname(file), f"{file}: the project starts in its development container ({why})"
    composed = next(_texts(table.get("dockerComposeFile")), "")
    port = next(_ports(table), None)
    if composed:
        path = _inside(file, posixpath.join(folder, composed))
        plan = plan_compose(sources, path, _text(table.get("service")), f"{file} names it", kinds)
    else:
        plan = image_plan(sources, _source(table, file, folder), said)
    assert plan.image is not None, "such a plan has an image"  # noqa: S101
    variables = {**_variables(table.get("containerEnv"), file), **_variables(table.get("remoteEnv"), file)}
    started = next(filter(None, (_words(table.get(one)) for one in ("postStartCommand", "postAttachCommand"))), None)
    return replace(
        plan,
        dockerfile=file,
        image=replace(plan.image, port=port or plan.image.port, command=started or plan.image.command),
        variables={**plan.variables, **variables},
    )


def _source(table: Mapping[str, object], file: str, folder: str) -> ImageSource:
    build = table.get("build")
    options: Mapping[str, object] = build if isinstance(build, Mapping) else {}
    named = _text(options.get("dockerfile")) or _text(table.get("dockerFile"))
    folder_in = _text(table.get("workspaceFolder")) or _WORKSPACE
    if not re.fullmatch(r"/[\w./-]{1,200}", folder_in):
        folder_in = _WORKSPACE
    made = "".join(f"RUN {one}\n" for one in [_shell(table.get("postCreateCommand"))] if one)
    if named:
        context = _inside(file, posixpath.join(folder, _text(options.get("context") or table.get("context")) or "."))
        path = _inside(file, posixpath.join(folder, named))
        # A folder other than the root has no files of the project.
        copied = f"WORKDIR {folder_in}\nCOPY . .\n{made}" if context == "." else ""
        given = options.get("args")
        arguments = {
            name: _text(one)
            for name, one in list(given.items() if isinstance(given, Mapping) else ())[:_MOST]
            if isinstance(name, str) and _VARIABLE.fullmatch(name)
        }
        return ImageSource(path, context, copied, arguments, _text(options.get("target")))
    image = _text(table.get("image"))
    if not _IMAGE.fullmatch(image):
        raise InvalidGeneration(
            f"Cannot launch: {file} names neither image nor dockerfile. Say in preview.toml how the project starts: "
            '[start] command = "…".',
            path=file,
        )
    return ImageSource("", ".", f"FROM {image}\nWORKDIR {folder_in}\nCOPY . .\n{made}")


def _variables(value: object, file: str) -> dict[str, Variable]:
    pairs = list(value.items())[:_MOST] if isinstance(value, Mapping) else []
    named = [(name, _text(one)) for name, one in pairs if isinstance(name, str) and _VARIABLE.fullmatch(name)]
    return {
        name: Variable(name, one.replace("{secret", "{ secret"), Origin.EXAMPLE, file, secret=is_secret_name(name))
        for name, one in named
        if one
    }


def _ports(table: Mapping[str, object]) -> Iterator[int]:
    for value in (table.get("forwardPorts"), table.get("appPort")):
        for one in value if isinstance(value, list) else [value]:
            # "db:5432" is a port of another service.
            text = str(int(one)) if isinstance(one, int | float) and 0 < one < 65536 else _text(one)
            number = text.rpartition(":")[2] if value is table.get("appPort") else text
            if number.isascii() and number.isdecimal() and 0 < int(number[:6]) < 65536:
                yield int(number)


def _texts(value: object) -> Iterator[str]:
    yield from filter(None, map(_text, value if isinstance(value, list) else [value]))


def _text(value: object) -> str:
    """Return a text without references to the machine; empty for other values."""
    if not isinstance(value, str) or "\0" in value:
        return ""
    return _LOCAL.sub(lambda found: found[1] or "", value[:_MOST_TEXT])


def _words(value: object) -> tuple[str, ...] | None:
    if isinstance(value, list):
        return tuple(_texts(value)) or None
    text = _text(value)
    return ("sh", "-c", text) if text else None


def _shell(value: object) -> str:
    """Return a command as one line for ``RUN``; empty if it is none."""
    text = shlex.join(_texts(value)) if isinstance(value, list) else _text(value)
    return "" if "\n" in text or text.startswith("--") else text


def _inside(file: str, path: str) -> str:
    plain = posixpath.normpath(path)
    if plain.startswith(("/", "../")) or plain == "..":
        raise InvalidGeneration(f"Cannot launch: {file} names {path[:100]}, which lies outside the project.", path=file)
    return plain
