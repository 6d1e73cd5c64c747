"""Read ``preview.toml`` and the launch request as ``Overrides``; each error is one sentence that names the key."""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from preview.core.descriptors import raise_want
from preview.core.isolation import Network
from preview.core.lifecycle import OnCrash
from preview.core.quoting import quoted
from preview.detection.overrides.given import Overrides
from preview.detection.plain import FRAMEWORKS
from preview.detection.plan import Origin, Server, Step, Variable
from preview.errors import InvalidGeneration, InvalidRequest

PREVIEW_FILE = "preview.toml"
_MAX_FILE_BYTES = 64 * 1024
# Characters of [start], and of everything, besides 16 for each item. Commands are split into words in the service's own
# process, 1 ms for each 3 KiB.
_MOST_START = 16 * 1024
_MOST_IN_ALL = 128 * 1024
_ITEM = 16
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_APP = re.compile(r"[\w./@-]+(?::[A-Za-z_][\w.]*(?:\(\))?)?")


def _check_size(value: object, most: int, what: str) -> object:
    """Check the size of a table before anything is read from it. Texts, lists and tables count, to any depth."""
    waiting, left = [value], most
    while waiting and left >= 0:
        one = waiting.pop()
        left -= _ITEM
        if isinstance(one, str):
            left -= len(one)
        elif isinstance(one, Mapping):
            left -= _ITEM * len(one)
            waiting += [*one, *one.values()] if left >= 0 else []
        elif isinstance(one, list | tuple):
            left -= _ITEM * len(one)
            waiting += one if left >= 0 else []
    if left < 0:
        raise ValueError(f"{what} has more than {most // 1024} KiB; put long commands into a script of the project")
    return value


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not value.strip() or "\0" in value:
        raise ValueError(f"{quoted(value)} must be a folder inside the project")
    return str(path)


def _words(value: object) -> object:
    """Split ``"python main.py"`` into its words."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"{quoted(value)} is not a command ({str(error).lower()})") from error


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("a command needs at least one word")
    if not value[0] or any("\0" in word for word in value):
        raise ValueError("a command needs a program, and cannot hold a NUL character")
    return value


def _app(value: str) -> str:
    if not _APP.fullmatch(value) or value.startswith("-"):
        raise ValueError(f'{quoted(value)} is not an application; write it as "package.module:name"')
    path = PurePosixPath(value.partition(":")[0])
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{quoted(value)} must be a file inside the project")
    return value


def _framework(value: str) -> str:
    if value not in FRAMEWORKS:
        nearest = difflib.get_close_matches(value, FRAMEWORKS, n=1, cutoff=0.5)
        advice = (
            f'did you mean "{nearest[0]}"?'
            if nearest
            else "fastapi, flask, django and express are some of the known ones"
        )
        raise ValueError(f"{quoted(value)} is not a framework; {advice}")
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or value.startswith("//"):
        raise ValueError(f"{quoted(value)} must be a path that begins with one /")
    return value


def _text(value: object) -> object:
    """Return a variable's value as text; numbers and booleans as TOML writes them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a value cannot hold a NUL character")
    return value


def _name(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"{quoted(value)} is not a variable name (letters, digits and _)")
    return value


_Folder = Annotated[str, AfterValidator(_inside)]
_Command = Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_some)]
_Value = Annotated[str, BeforeValidator(_text), AfterValidator(_no_nul)]
_Names = dict[Annotated[str, AfterValidator(_name)], _Value]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _StepTable(_Table):
    run: _Command
    name: str | None = None
    directory: _Folder = "."
    required: StrictBool = True


def _as_table(value: object) -> object:
    return value if isinstance(value, dict | _StepTable) else {"run": value}


class _Start(_Table):
    @model_validator(mode="before")
    @classmethod
    def _is_small(cls, value: object) -> object:
        return _check_size(value, _MOST_START, "the table")

    framework: Annotated[str, AfterValidator(_framework)] | None = None
    app: Annotated[str, AfterValidator(_app)] | None = None
    factory: StrictBool | None = None
    directory: _Folder | None = None
    command: _Command | None = None
    server: Literal["asgi", "wsgi", "django", "node", "command"] | None = None
    health: Annotated[str, AfterValidator(_path)] | None = None
    network: Network | None = None
    isolation: Literal["container"] | None = None
    dockerfile: _Folder | None = None
    trace: StrictBool | None = None
    on_crash: OnCrash | None = None
    manifests: _Folder | None = None
    python_path: tuple[_Folder, ...] | None = None
    steps: tuple[Annotated[_StepTable, BeforeValidator(_as_table)], ...] | None = None
    skip_steps: StrictBool | tuple[str, ...] | None = None


class _Requirements(_Table):
    extra: tuple[str, ...] = ()


class _File(_Table):
    @model_validator(mode="before")
    @classmethod
    def _is_small(cls, value: object) -> object:
        return _check_size(value, _MOST_IN_ALL, "all of it")

    start: _Start = Field(default_factory=_Start)
    env: _Names = Field(default_factory=dict)
    requirements: _Requirements = Field(default_factory=_Requirements)


def read_preview_file(project: Path) -> Overrides:
    """Read the project's ``preview.toml``; empty if the file does not exist.

    Raises:
        InvalidGeneration: The file is unreadable or invalid; ``details["path"]`` names it.
    """
    path = project / PREVIEW_FILE
    if path.is_symlink() or not path.is_file():
        return Overrides()
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InvalidGeneration(
                f"{PREVIEW_FILE} is larger than {_MAX_FILE_BYTES // 1024} KiB; it should only describe how to "
                "start the project.",
                path=PREVIEW_FILE,
            )
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise_want(error)
        raise InvalidGeneration(f"{PREVIEW_FILE} cannot be read ({error.strerror}).", path=PREVIEW_FILE) from error
    except (ValueError, RecursionError) as error:  # TOML, bytes that are not UTF-8, endlessly nested lists
        raise InvalidGeneration(f"{PREVIEW_FILE} is not valid TOML: {error}.", path=PREVIEW_FILE) from error
    try:
        return _read(values, Origin.PROJECT)
    except ValidationError as error:
        raise InvalidGeneration(_sentence(error, PREVIEW_FILE), path=PREVIEW_FILE) from None


def overrides_from_request(values: Mapping[str, object]) -> Overrides:
    """Read the overrides of a launch request, which have the same keys as the file.

    Raises:
        InvalidRequest: A key or value is invalid; the message names it.
    """
    return overrides_of(values, Origin.REQUEST, "The launch request")


def overrides_of(values: Mapping[str, object], origin: Origin, source: str) -> Overrides:
    """Read overrides, which have the same keys as the file.

    Args:
        values: The tables by name; None stands for a missing one.
        origin: Origin of the variables.
        source: Subject of the error's sentence.

    Raises:
        InvalidRequest: A key or value is invalid; the message names it.
    """
    try:
        return _read({key: value for key, value in values.items() if value is not None}, origin)
    except ValidationError as error:
        raise InvalidRequest(_sentence(error, source)) from None


def _read(values: Mapping[str, object], origin: Origin) -> Overrides:
    read = _File.model_validate(values)
    start = read.start
    return Overrides(
        framework=start.framework,
        app=start.app,
        factory=start.factory,
        directory=start.directory,
        command=start.command,
        server=Server(start.server) if start.server else None,
        health=start.health,
        network=start.network,
        isolation=start.isolation,
        dockerfile=start.dockerfile,
        trace=start.trace,
        on_crash=start.on_crash,
        manifests=start.manifests,
        python_path=start.python_path,
        steps=None if start.steps is None else tuple(_step(item, origin) for item in start.steps),
        skip_steps=start.skip_steps,
        variables={name: Variable(name, value, origin, where=_place(origin)) for name, value in read.env.items()},
        extra_requirements=read.requirements.extra,
    )


def _place(origin: Origin) -> str:
    return str(origin)


def _step(table: _StepTable, origin: Origin) -> Step:
    name = table.name or " ".join(table.run[:2])
    return Step(name, table.run, table.directory, f"given in {_place(origin)}", table.required)


def _sentence(error: ValidationError, source: str) -> str:
    first = error.errors(include_url=False)[0]
    key = f'"{quoted(_key(first))[1:-1]}"'
    if first["type"] == "extra_forbidden":
        known = _known(first["loc"][:-1])
        nearest = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        advice = f'did you mean "{nearest[0]}"?' if nearest else f"the known keys are {', '.join(known)}."
        return f"{source}: there is no key {key}; {advice}"
    said = first["msg"].removeprefix("Value error, ")
    return f"{source}: {key}: {said}." if first["type"] == "value_error" else f"{source}: {key} {_typed(first)}."


_WANTED = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
}


def _typed(error: ErrorDetails) -> str:
    """Describe the expected and the given value."""
    said = _WANTED.get(error["type"], error["msg"].replace("Input should be", "must be"))
    given = quoted(error["input"])
    return f"{said}, not {given}" if len(given) <= 60 else said


def _key(error: ErrorDetails) -> str:
    # The names of union members and `[key]` come from pydantic, not from the user.
    own = {"bool", "tuple[str, ...]", "[key]", "str", "function-after[_inside(), str]"}
    parts = [part for part in error["loc"] if part not in own]
    return ".".join(str(part) for part in parts) or "(the whole)"


def _known(location: tuple[int | str, ...]) -> list[str]:
    tables: dict[str, type[BaseModel]] = {"start": _Start, "requirements": _Requirements}
    model: type[BaseModel] = _File
    for part in location:
        model = _StepTable if part == "steps" else tables.get(str(part), model)
    return list(model.model_fields)
