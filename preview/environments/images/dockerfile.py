"""Read a Dockerfile, refuse what a build here may not do, and write it in one plain form for the engine.

The engine itself fetches what ``FROM``, ``COPY --from`` and ``ADD`` name, by its own network, whatever the build has.
So these are checked here, and the engine gets the checked form: one instruction a line, without comments and
continuations. Then both read the same file. Source: docs.docker.com/reference/dockerfile.
"""

from __future__ import annotations

import itertools
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from preview.core.quoting import quoted
from preview.environments.images.context import EMPTY
from preview.environments.images.inline_texts import (
    InlineText,
    NoText,
    arguments_of,
    as_json,
    change_arguments,
    read_texts,
)
from preview.environments.images.instructions import (
    FILES_IMAGE,
    CopiedFile,
    Needs,
    Refused,
    Stage,
    copy_lines,
    note_image,
    run_lines,
)
from preview.environments.images.variable_sizes import TooLong, VariableSizes
from preview.errors import EnvironmentFailed

MOST_BYTES: Final = 128 * 1024
"""Bytes of a Dockerfile."""

_MOST_LINES: Final = 2000
_MOST_NAME: Final = 250
_INSTRUCTION: Final = re.compile(r"([A-Za-z]{1,20})(?:[ \t]|$)")
_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_]\w{0,100})|\{([A-Za-z_]\w{0,100})(?::?-([^}]{0,200}))?\})")
_STAGE: Final = re.compile(r"[a-z][a-z0-9._-]{0,100}")
# In a list of words or of JSON.
_PLAIN_FOLDER: Final = re.compile(r"(?<![^\s\"\[])[/$][\w/.@${}-]{0,200}(?=[\s\",]|$)")
_MOST_VOLUMES: Final = 16
_ESCAPE: Final = re.compile(r"#[ \t]{0,20}escape[ \t]{0,20}=[ \t]{0,20}([\\`])[ \t]{0,20}")
_OTHER_DIRECTIVE: Final = re.compile(r"#[ \t]{0,20}[a-z]{1,20}[ \t]{0,20}=.{0,200}")
_KNOWN: Final = frozenset(
    {"FROM", "RUN", "CMD", "LABEL", "MAINTAINER", "EXPOSE", "ENV", "ADD", "COPY", "ENTRYPOINT", "VOLUME", "USER",
     "WORKDIR", "ARG", "ONBUILD", "STOPSIGNAL", "HEALTHCHECK", "SHELL"}
)  # fmt: skip


_ARCHITECTURE: Final = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PLATFORM: Final = MappingProxyType(
    {
        f"{side}{name}": value
        for side in ("TARGET", "BUILD")
        for name, value in (
            ("PLATFORM", f"linux/{_ARCHITECTURE}"),
            ("OS", "linux"),
            ("ARCH", _ARCHITECTURE),
            ("VARIANT", ""),
        )
    }
)
"""Arguments that BuildKit sets by itself."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile that was checked.

    Attributes:
        text: The checked form.
        images: Images that the build needs, each once.
        warnings: One sentence for each thing that was left out.
        runs: Whether a step of the build runs a program.
        own_shells: Of ``images``, those that must not have a shell of their own: a step is written for the usual one.
        files: Files that it copies from the image whose name ``with_files_image`` fills in.
    """

    text: str
    images: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    runs: bool = False
    own_shells: tuple[str, ...] = ()
    files: tuple[CopiedFile, ...] = ()

    def with_files_image(self, name: str) -> str:
        """Return the text with the name of the image that has ``files``."""
        return self.text.replace(FILES_IMAGE, name)


@dataclass(slots=True)
class _Reading:
    """State of the reader: values of ``ARG`` before the first ``FROM``, and what the file needs."""

    arguments: dict[str, str]
    given: Mapping[str, str]
    sizes: VariableSizes
    needs: Needs = field(default_factory=Needs)
    runs: bool = False


@dataclass(frozen=True, slots=True)
class _Line:
    """An instruction as one line: the number of its first line, its texts, and why these cannot be read."""

    number: int
    text: str
    texts: tuple[InlineText, ...] = ()
    fault: str = ""


def read_dockerfile(
    text: str,
    name: str,
    labels: Mapping[str, str],
    *,
    arguments: Mapping[str, str] = MappingProxyType({}),
    target: str = "",
    after: str = "",
) -> Recipe:
    """Check a Dockerfile.

    Args:
        text: Its content.
        name: Its name, for messages.
        labels: Labels for the images of all stages: by these the service finds what a failed build leaves.
        arguments: Values of ``ARG``, in place of its own.
        target: The last stage to build; empty for all.
        after: Instructions that follow the last stage.

    Raises:
        EnvironmentFailed: It is not valid, or asks for what a build here may not do.
    """
    # An editor's byte order mark is no part of the first line.
    text = text.removeprefix("\ufeff")
    reading, escape = _Reading(dict(PLATFORM), arguments, VariableSizes(arguments)), _escape(text)
    needs = reading.needs
    written: list[str] = [f"# escape={escape}"]
    for line in itertools.chain(_until(reading, target, _logical_lines(text, escape)), _added(after)):
        try:
            checked = _check(reading, line, escape)
        except Refused as error:
            raise _failure(f"{name}, line {line.number}: {error}", name) from None
        written += checked
        if checked and checked[0].startswith("FROM "):
            written += [f'LABEL "{key}"="{value}"' for key, value in labels.items()]
        if len(written) > _MOST_LINES:
            raise _failure(f"{name} has more than {_MOST_LINES} instructions", name)
    if target and not any(one.name == target.lower() for one in needs.stages):
        raise _failure(f"{name} has no stage {quoted(target[:60])}", name)
    if not needs.stages:
        raise _failure(f"{name} has no FROM; begin it with the image to build on, such as FROM python:3.12-slim", name)
    written += [f"VOLUME {one}" for one in needs.stages[-1].volumes]
    return Recipe(
        "\n".join(written) + "\n",
        tuple(needs.images),
        tuple(needs.warnings),
        reading.runs,
        tuple(needs.own_shells),
        tuple(needs.files),
    )


def _until(reading: _Reading, target: str, lines: Iterator[_Line]) -> Iterator[_Line]:
    """Yield the lines before the stage that follows the target's; all lines without a target."""
    for line in lines:
        is_from = _INSTRUCTION.match(line.text) and line.text[:4].upper() == "FROM"
        if target and is_from and any(one.name == target.lower() for one in reading.needs.stages):
            return
        yield line


def _added(after: str) -> Iterator[_Line]:
    return (_Line(number, line) for number, line in enumerate(after.splitlines(), 1) if line)


def _failure(said: str, name: str) -> EnvironmentFailed:
    return EnvironmentFailed(f"{said}.", reason="dockerfile", path=name)


def _escape(text: str) -> str:
    """Return the escape character: directives stand at the very top only."""
    for line in text.splitlines()[:10]:
        if found := _ESCAPE.fullmatch(line.strip().lower()):
            return found[1]
        if not _OTHER_DIRECTIVE.fullmatch(line.strip().lower()):
            break
    return "\\"


def _logical_lines(text: str, escape: str) -> Iterator[_Line]:
    """Yield each instruction, with its texts."""
    parts: list[str] = []
    first = 0
    lines = iter(enumerate(text.split("\n"), 1))
    for number, raw in lines:
        line = raw.removesuffix("\r").rstrip(" \t")
        if not line.strip() or line.lstrip(" \t").startswith("#"):
            continue
        first = first if parts else number
        if line.endswith(escape) and not line.endswith(2 * escape):
            parts.append(line[:-1])
            continue
        whole = "".join([*parts, line]).strip(" \t")
        parts = []
        try:
            yield _Line(first, whole, read_texts(whole, lines))
        except NoText as error:
            yield _Line(first, whole, fault=str(error))
    if parts:
        yield _Line(first, "".join(parts).strip(" \t"))


def _check(reading: _Reading, line: _Line, escape: str) -> list[str]:
    """Return the instruction in its plain form; nothing for a label, because the service finds images by its own."""
    text, needs = line.text, reading.needs
    if any(not one.isprintable() and one != "\t" for one in text) or text.endswith(escape):
        raise Refused("the instruction has a control character, or ends with an escape")
    found = _INSTRUCTION.match(text)
    word = found[1].upper() if found is not None else ""
    if found is None or word not in _KNOWN:
        raise Refused(f"{quoted(text[:40])} is no instruction of a Dockerfile")
    if line.fault:
        raise Refused(line.fault)
    rest = text[found.end() :].strip(" \t")
    if not needs.stages and word not in ("FROM", "ARG"):
        raise Refused(f"{word} comes before the first FROM")
    try:
        reading.sizes.note(word, rest)
    except TooLong as error:
        raise Refused(str(error)) from None
    made = _translated(reading, word, rest, line.texts, escape)
    if any(one.endswith(("\\", "`")) for one in made):
        raise Refused("the instruction ends with an escape")
    if any(not _is_one_line(one) for one in made):
        raise Refused("the instruction has a control character when it is filled in")
    return made


def _is_one_line(made: str) -> bool:
    return made.replace("\t", " ").replace(f" --from={FILES_IMAGE} ", " ", 1).isprintable()


def _translated(reading: _Reading, word: str, rest: str, texts: Sequence[InlineText], escape: str) -> list[str]:
    needs = reading.needs
    match word:
        case "FROM":
            return [_from(reading, rest)]
        case "LABEL" | "MAINTAINER":
            return []
        case "ARG":
            rest = _arguments(reading, rest, escape)
        case "ONBUILD":
            raise Refused("ONBUILD is not supported; write the instruction where it is to happen")
        case "COPY" | "ADD":
            # The engine would fetch an address that ADD names, however it is written, and unpack archives without a
            # limit.
            return copy_lines(needs, word, rest, texts)
        case "RUN":
            reading.runs = True
            return run_lines(needs, rest, texts)
        case "SHELL":
            needs.stages[-1].shell = tuple(as_json(rest) or ())
            if not needs.stages[-1].shell:
                raise Refused('write SHELL ["program", "option"]')
        case "VOLUME":
            needs.stages[-1].volumes.append(rest)
            # Later steps find the folder, as they would with the volume.
            return [f"COPY {EMPTY} {one}/" for one in _PLAIN_FOLDER.findall(rest)[:_MOST_VOLUMES]]
    return [f"{word} {rest}".rstrip()]


def _arguments(reading: _Reading, rest: str, escape: str) -> str:
    """Note arguments before the first stage. Give those that BuildKit sets by itself their values in stages."""
    if reading.needs.stages:
        return change_arguments(rest, escape, _with_value)
    for word in arguments_of(rest, escape):
        name, is_set, value = word.partition("=")
        own = _filled(reading, value.strip("\"'")) if is_set else reading.arguments.get(name, "")
        reading.arguments[name] = reading.given.get(name) or own
    return rest


def _with_value(word: str) -> str:
    # The engine gets values of compose files beside the file; in a line one could begin another instruction.
    name = word.strip("\"'")
    return f"{name}={PLATFORM[name]}" if name in PLATFORM else word


def _from(reading: _Reading, rest: str) -> str:
    words = [one for one in rest.split() if not one.startswith("--")]
    for flag in rest.split():
        if flag.startswith("--platform="):
            _note_platform(reading, _filled(reading, flag.removeprefix("--platform=")))
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise Refused("write FROM image, or FROM image AS name")
    image, name = _filled(reading, words[0]), words[2].lower() if len(words) == 3 else ""
    if name and not _STAGE.fullmatch(name):
        raise Refused(f"{quoted(name)} is no name of a stage")
    stage, stages = Stage(name or " ", image), reading.needs.stages
    # Of two stages with one name the engine takes the last.
    above = next((one for one in reversed(stages) if one.name == image.lower()), None)
    if above is not None:
        image = image.lower()
        stage = Stage(name or " ", above.base, above.shell, list(above.volumes))
    elif image != "scratch":
        note_image(reading.needs, image)
    stages.append(stage)
    return f"FROM {image}{f' AS {name}' if name else ''}"


def _note_platform(reading: _Reading, name: str) -> None:
    """Warn of a platform other than the engine's, which is such as ``linux/arm64/v8``, ``arm64`` or ``linux``."""
    own = ("", "linux", _ARCHITECTURE, platform.machine())
    if any(one not in own for one in name.lower().split("/")[:2]):
        here = PLATFORM["TARGETPLATFORM"]
        reading.needs.warnings[f"FROM --platform={quoted(name[:60])} is left out: builds here are for {here}"] = None


def _filled(reading: _Reading, text: str) -> str:
    def value(found: re.Match[str]) -> str:
        return (reading.arguments.get(found[1] or found[2]) or found[3] or "")[:_MOST_NAME]

    return _VARIABLE.sub(value, text)
