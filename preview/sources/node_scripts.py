"""The commands of a package.json script, without their wrappers: the programs that run a file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

Command = list[str]
"""The words of one command, without variables and wrappers."""

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
# Wrappers that run the command that follows them.
_WRAPPERS = frozenset(
    {"cross-env", "cross-env-shell", "npx", "pnpx", "bunx", "exec", "sudo", "time", "dotenv", "dotenvx", "env-cmd",
     "env", "better-npm-run", "nohup", "op", "infisical", "doppler", "c8", "nyc"}
)  # fmt: skip
_WRAPPER_VALUES = frozenset({"-e", "-f", "--file", "--environments", "-p", "--env-file", "-c"})
# Programs that run several commands, each given as one argument.
_MANY = frozenset({"concurrently", "conc"})
_MANY_SCRIPTS = frozenset({"npm-run-all", "npm-run-all2", "run-p", "run-s", "run-pty"})
_BACKSLASH = re.compile(r"(?<=[\w.])\\(?=[\w.@])")
_SEPARATOR = re.compile(r"&&|\|\||[;&|]")
# Depth limit for commands within commands.
_MAX_DEPTH = 6
_MAX_LENGTH = 4_000


def split_commands(script: str, depth: int = 0) -> Iterator[Command]:
    """Yield the single commands of a script, in order, without wrappers."""
    if depth > _MAX_DEPTH:
        return
    for words in _pieces(script[:_MAX_LENGTH]):
        command = _unwrap(words)
        if not command:
            continue
        program = command[0].rpartition("/")[2]
        if program in _MANY:
            for word in command[1:]:
                if not word.startswith("-"):
                    yield from split_commands(_script_of(word), depth + 1)
        elif program in _MANY_SCRIPTS:
            yield from (["npm", "run", word] for word in command[1:] if not word.startswith("-"))
        elif inner := _inner(command):
            yield from split_commands(inner, depth + 1)
        else:
            yield command


def _pieces(script: str) -> Iterator[Command]:
    # `node .\\src\\app.js`, written on Windows
    script = _BACKSLASH.sub("/", script)
    try:
        lexer = shlex.shlex(script, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        lexer.commenters = ""
        words = list(lexer)
    except ValueError:  # unclosed quote
        words = _SEPARATOR.sub(r" \g<0> ", script).split()
    piece: Command = []
    for word in words:
        if word and not word.strip(";&|"):
            yield piece
            piece = []
        else:
            piece.append(word)
    yield piece


def _unwrap(words: Command) -> Command:
    while words:
        if _ASSIGNMENT.match(words[0]) or words[0] in {"set", "export", "--"}:
            words = words[1:]
        elif words[0].rpartition("/")[2] in _WRAPPERS:
            words = words[1:]
            while words and words[0].startswith("-"):
                words = words[2:] if words[0] in _WRAPPER_VALUES else words[1:]
            # `dotenvx run -- node`, `doppler run node`
            words = words[1:] if words and words[0] == "run" else words
        else:
            return words
    return words


def _script_of(word: str) -> str:
    """Convert ``npm:start``, the form that ``concurrently`` uses, to ``npm run start``."""
    return f"npm run {word[4:]}" if word.startswith("npm:") else word


def _inner(command: Command) -> str:
    """Return the command of a watcher: ``nodemon --exec "ts-node x.ts"``, ``tsc-watch --onSuccess …``."""
    for position, word in enumerate(command[:-1]):
        if word in {"--exec", "-x", "--onSuccess", "--on-success", "--onFirstSuccess"}:
            value = command[position + 1]
            rest = [item for item in command[position + 2 :] if not item.startswith("-")]
            # `nodemon --exec ts-node src/index.ts`: the file follows the command.
            return " ".join([value, *map(shlex.quote, rest)]) if word in {"--exec", "-x"} else value
        if word.startswith("--exec="):
            return word.partition("=")[2] + " " + " ".join(map(shlex.quote, command[position + 1 :]))
    return ""


def managed_script(command: Command) -> tuple[str, str] | None:
    """Return script and folder of ``npm run x``, ``yarn --cwd server start``, ``npm start --prefix api``; else None."""
    words, prefix, name = iter(command[1:]), ".", None
    for word in words:
        if word in {"--prefix", "--cwd", "-C", "--dir"}:
            prefix = next(words, ".")
        elif word.startswith(("--prefix=", "--cwd=")):
            prefix = word.partition("=")[2]
        elif not word.startswith("-") and word not in {"run", "run-script"} and name is None:
            name = word
    return (name, prefix) if name is not None else None
