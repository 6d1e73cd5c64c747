"""The commands with which a project's own files start its server: Procfile, Dockerfile, compose, scripts, README."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from preview.sources.files import Sources

MAX_BYTES: Final = 128 * 1024
"""Bytes that are read of each file."""
_MAX_FILES: Final = 60
_MAX_COMMANDS: Final = 200
_APP: Final = re.compile(r"([A-Za-z_][\w./-]*?)(?:\.py)?:([A-Za-z_]\w*)(\(\))?")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_ASGI_WSGI: Final = frozenset(
    {"uvicorn", "gunicorn", "hypercorn", "daphne", "waitress-serve", "granian", "uwsgi", "mod_wsgi-express", "bjoern"}
)
_PYTHON: Final = re.compile(r"python(?:3(?:\.\d+)?)?|pypy3?|\$\{?PYTHON\}?")
# A server's name may follow one of these characters within a command.
_START: Final = re.compile(
    r"(?:^|[\s;&|=(])((?:uvicorn|gunicorn|hypercorn|daphne|waitress-serve|granian|uwsgi|flask|fastapi|python(?:3(?:\.\d+)?)?)"
    r"\s[^;&|\n]*)"
)
# Options without a value.
_FLAGS: Final = frozenset(
    {"--reload", "--debug", "--factory", "--preload", "--proxy-headers", "--use-colors", "--access-log", "--daemon",
     "--debugger", "--with-threads", "-D", "-m", "-u"}
)  # fmt: skip
# A shell's redirections and comments, and the ends of JSON and of a sentence, are no words of a command.
_WORD: Final = re.compile(r"[\w./:@%+=,~$-]*[\w/$-](?:\(\))?|\$\{[\w:.-]+\}|[\w./:@=-]+\$\{[\w:.-]+\}")
_FLASK_APP: Final = re.compile(r"\bFLASK_APP\s*[=:\s]\s*[\"']?([\w./:()-]+)")
# `APP ?= shop.main:app` of a Makefile, and `$(APP)`; a value that has names itself stays as it is.
_MADE: Final = re.compile(
    r"^(?P<name>\w{1,60})[ \t]{0,20}[:?]?=[ \t]{0,20}(?P<value>[\w./:@=-]{1,200})[ \t]{0,20}$", re.MULTILINE
)
_MAKE_NAME: Final = re.compile(r"\$[({](\w{1,60})[)}]")
_WORKDIR: Final = re.compile(r"^\s*WORKDIR\s+(\S+)", re.MULTILINE | re.IGNORECASE)
# The weight of a file: it deploys the project, runs the project, or only documents it.
_DEPLOYS, _RUNS, _TELLS = 3, 2, 1
_KINDS: Final = (
    (re.compile(r"Procfile(\..*)?|app\.json|heroku\.yml|render\.ya?ml|railway\.(json|toml)|fly\.toml|nixpacks\.toml"
                r"|app\.yaml|koyeb\.ya?ml|zappa_settings\.json|vercel\.json|apprunner\.ya?ml"), _DEPLOYS),
    (re.compile(r"(.*[.-])?Dockerfile([.-].*)?|Containerfile"), _DEPLOYS),
    (re.compile(r"(docker-)?compose([.-].*)?\.ya?ml"), _DEPLOYS),
    (re.compile(r"\.flaskenv|\.env"), _DEPLOYS),
    (re.compile(r"Makefile|makefile|justfile|Justfile|Taskfile\.ya?ml|tasks\.py|noxfile\.py|pyproject\.toml|Pipfile"
                r"|package\.json|.*\.(sh|bat|ps1|service|ini|supervisor)|supervisord?\.conf"), _RUNS),
    (re.compile(r"README(\..*)?|readme\.md|.*\.rst|INSTALL.*|SETUP.*\.md|QUICKSTART.*\.md", re.IGNORECASE), _TELLS),
)  # fmt: skip
_SIDE_FOLDERS: Final = frozenset({"tests", "test", "docs", "examples", "node_modules", "frontend", "client"})


@dataclass(frozen=True, slots=True)
class StartCommand:
    """One command that starts a server of the project.

    Attributes:
        program: ``uvicorn``, ``gunicorn``, ``flask``, ``python`` …
        weight: 3 for a file that deploys the project, 2 for one that runs it, 1 for one that documents it.
        app: ``app.main:app`` as module and attribute; the attribute is empty if the command names none.
        script: The file that ``python`` (or ``fastapi``) gets as its argument.
        app_dir: The value of ``--app-dir`` or ``--chdir``.
        workdir: The image's working folder, if the command comes from a Dockerfile.
    """

    program: str
    words: tuple[str, ...]
    file: str
    weight: int
    app: tuple[str, str] | None = None
    script: str | None = None
    app_dir: str | None = None
    workdir: str | None = None

    @property
    def folder(self) -> str:
        """The folder of the file that contains the command."""
        return posixpath.dirname(self.file) or "."


def start_commands(sources: Sources) -> list[StartCommand]:
    """Return all start commands, by descending weight, then files in upper folders first."""
    found: list[StartCommand] = []
    for weight, file in _weighted(sources):
        text = sources.text(file)[:MAX_BYTES].decode("utf-8", "replace")
        found += _read(text, file, weight)
        if len(found) >= _MAX_COMMANDS:
            break
    return sorted(found, key=lambda command: (-command.weight, command.file.count("/")))


def command_files(sources: Sources) -> list[str]:
    """Return the files that may name commands: those that deploy the project first, documents last."""
    return [file for _, file in _weighted(sources)]


def _weighted(sources: Sources) -> list[tuple[int, str]]:
    chosen = []
    for name in sources.all_names:
        *folders, last = name.split("/")
        if len(folders) > 3 or any(folder in _SIDE_FOLDERS for folder in folders):
            continue
        weight = next((weight for pattern, weight in _KINDS if pattern.fullmatch(last)), 0)
        if weight:
            chosen.append((weight, name))
    return sorted(chosen, key=lambda pair: (-pair[0], pair[1].count("/")))[:_MAX_FILES]


def _read(text: str, file: str, weight: int) -> Iterator[StartCommand]:
    workdirs = _WORKDIR.findall(text)
    workdir = workdirs[-1] if workdirs and "ockerfile" in file else None
    for match in _FLASK_APP.finditer(text):
        yield StartCommand("flask", ("flask", "run"), file, weight, app=_flask_app(match[1]), workdir=workdir)
    for line in _plain(text, file).splitlines():
        if line.lstrip().startswith(("#", "//", "RUN ")):
            continue
        # In a Procfile, a worker or a release step is not a server.
        if file.rpartition("/")[2].startswith("Procfile") and not line.startswith("web"):
            continue
        for match in _START.finditer(line):
            command = _command(match[1], file, weight, workdir)
            if command is not None:
                yield replace(command, words=_without_prose(command.words, is_document=weight == _TELLS))


def _plain(text: str, file: str) -> str:
    """Return the text with one command per line, without the quoting of JSON, YAML and lists."""
    text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    if file.lower().endswith("makefile"):
        values = {match["name"]: match["value"].strip() for match in _MADE.finditer(text)}
        text = _MAKE_NAME.sub(lambda match: values.get(match[1], match[0]), text)
    if file.endswith(".json"):
        # A script that quotes other commands: `concurrently \"uvicorn main:app\" \"npm run web\"`.
        text = text.replace('\\"', "\n")
    if file.endswith((".yml", ".yaml")):
        # `command:` followed by its words as a list
        text = re.sub(r"\n\s*-\s+(?=\S*[^\s:]\s*(?:\n|$))", " ", text)
        text = re.sub(r"((?:command|entrypoint|startCommand):)\s*[>|]?-?\s*\n\s*", r"\1 ", text)
    return re.sub(r"[\"'\[\],`]+", " ", text)


def read_command(words: Sequence[str], file: str) -> StartCommand | None:
    """Return the start command that consists of these words; None if it is of another form."""
    return _command(shlex.join(words), file, 0, None) if words else None


def _command(text: str, file: str, weight: int, workdir: str | None) -> StartCommand | None:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    if _PYTHON.fullmatch(words[0]):
        return _python(words, file, weight, workdir)
    program, rest = words[0], words[1:]
    if program == "flask":
        return _flask(words, file, weight, workdir)
    if program == "fastapi":
        script = next((word for word in rest[1:] if word.endswith(".py")), None)
        ok = rest[:1] in (["run"], ["dev"])
        return StartCommand(program, tuple(words), file, weight, script=script, workdir=workdir) if ok else None
    app = _app_of(rest)
    if app is None:
        return None
    return StartCommand(program, tuple(words), file, weight, app, app_dir=_app_dir(rest), workdir=workdir)


def _without_prose(words: tuple[str, ...], *, is_document: bool) -> tuple[str, ...]:
    """Return the command's own words, without those that follow it in a sentence, a table, JSON or a shell's line."""
    kept: list[str] = []
    has_target = takes_value = False
    for word in words:
        clean = word.strip()
        if not _WORD.fullmatch(clean):
            break
        is_option = clean.startswith("-")
        is_target = not has_target and (":" in clean or clean.endswith(".py") or _MODULE.fullmatch(clean) is not None)
        # `manage.py runserver 0.0.0.0:8000` is the command, `main.py and open it.` is not.
        goes_on = takes_value or not has_target or (not is_document and words[0].startswith("python"))
        if not (is_option or is_target or goes_on or clean == "runserver"):
            break
        kept.append(clean)
        takes_value = is_option and "=" not in clean and clean not in _FLAGS and not clean.startswith("--no-")
        has_target = has_target or is_target
    return tuple(kept) or words[:1]


def _python(words: list[str], file: str, weight: int, workdir: str | None) -> StartCommand | None:
    rest = [word for word in words[1:] if word not in {"-u", "-O", "-B"}]
    if rest[:1] == ["-m"] and len(rest) > 1:
        if rest[1] in _ASGI_WSGI or rest[1] in {"flask", "fastapi"}:
            return _command(" ".join(rest[1:]), file, weight, workdir)
        script = rest[1].replace(".", "/")
        return StartCommand("python", tuple(words), file, weight, script=script, workdir=workdir)
    if not rest or not rest[0].endswith(".py"):
        return None
    if rest[0].endswith("manage.py") and rest[1:2] != ["runserver"]:
        return None
    return StartCommand("python", tuple(words), file, weight, script=rest[0].removeprefix("./"), workdir=workdir)


def _flask(words: list[str], file: str, weight: int, workdir: str | None) -> StartCommand | None:
    if "run" not in words:
        return None
    for position, word in enumerate(words):
        if word in {"--app", "-A"} and position + 1 < len(words):
            app = _flask_app(words[position + 1])
            return StartCommand("flask", tuple(words), file, weight, app, workdir=workdir)
        if word.startswith("--app="):
            return StartCommand("flask", tuple(words), file, weight, _flask_app(word[6:]), workdir=workdir)
    return None


def _flask_app(value: str) -> tuple[str, str]:
    """Parse an application as Flask does: ``run.py``, ``shop``, ``shop:create_app()``, ``src/app.py``."""
    module, _, attribute = value.partition(":")
    module = module.removesuffix(".py").removeprefix("./").replace("/", ".")
    return module.removesuffix(".__init__"), attribute.partition("(")[0]


def _app_of(words: list[str]) -> tuple[str, str] | None:
    for position, word in enumerate(words):
        if position and words[position - 1] in {"-k", "--worker-class", "-c", "--config", "--bind", "-b", "--chdir"}:
            continue
        match = _APP.fullmatch(word.partition("=")[2] or word)
        if match:
            return match[1].replace("/", ".").strip("."), match[2]
    modules = [
        word
        for position, word in enumerate(words)
        if _MODULE.fullmatch(word)
        and not word.endswith(".py")
        and words[position - 1] not in {"-k", "--worker-class", "-c", "--config"}
    ]
    return (modules[-1], "") if modules else None


def _app_dir(words: list[str]) -> str | None:
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in {"--app-dir", "--chdir", "--pythonpath"}:
            following = words[position + 1] if position + 1 < len(words) else ""
            return posixpath.normpath(value if equals else following)
    return None
