"""Read a pasted ``curl`` command as a request. Nothing is executed, and no file is read.

Source: curl(1); the shell's quoting is that of POSIX, with ``$'…'`` as browsers write it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from preview.core.quoting import quoted
from preview.errors import InvalidRequest
from preview.traffic.ready import ReadyRequest, sendable

MOST_CHARACTERS = 128 * 1024
_MOST_WORDS = 500

_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
_CODE = re.compile(r"x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})")
# One part of a word. Each alternative begins with another character, so that the time is linear.
_PART = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
    | \\\r?\n
    | \\(?P<escaped>.)
    | '(?P<single>[^']*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | \$'(?P<ansi>(?:[^'\\]|\\.)*)'
    | (?P<plain>[^\s'"\\$;&|<>()`]+|\$(?![('{A-Za-z_]))
    """,
    re.VERBOSE | re.DOTALL,
)

# A server or a proxy could read these as the end of the target: controls, spaces, and half surrogates.
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]")
_HOST_END = re.compile(r"[/?]|\Z")

# Options with a value that does not change the request.
_IGNORED_VALUES = frozenset(
    {"-o", "--output", "-m", "--max-time", "--connect-timeout", "-x", "--proxy", "--retry", "--retry-delay", "-w"}
    | {"--resolve", "--write-out", "--cacert", "-c", "--cookie-jar", "--max-redirs", "--interface", "--cert", "--key"}
)
_IGNORED = frozenset(
    {"-s", "--silent", "-S", "--show-error", "-k", "--insecure", "-L", "--location", "-i", "--include", "-v", "-q"}
    | {"--verbose", "-f", "--fail", "--fail-with-body", "--compressed", "-g", "--globoff", "--path-as-is", "-N", "-4"}
    | {"--http1.1", "--http2", "-#", "--progress-bar", "--no-buffer", "-6", "-O", "--remote-name", "--disable"}
)


@dataclass(slots=True)
class _Command:
    """The options of a command so far."""

    method: str | None = None
    url: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    is_get: bool = False
    is_json: bool = False

    def has(self, name: str) -> bool:
        return any(one.lower() == name for one, _ in self.headers)


def parse_curl(text: str) -> ReadyRequest:
    """Return the request of a ``curl`` command; scheme and host of its address are left out.

    Args:
        text: One command line, as for a POSIX shell.

    Raises:
        InvalidRequest: It is not such a command, it reads a file, or it uses an option that is not supported.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidRequest(f"The command is longer than {MOST_CHARACTERS} characters; paste one request.")
    words = iter(_words(text))
    if next(words, "").rpartition("/")[2] not in ("curl", "curl.exe"):
        raise InvalidRequest("The text is not a curl command; it must begin with `curl`.")
    command = _Command()
    for word in words:
        _take(command, word, words)
    return _request(command)


def _take(command: _Command, word: str, words: Iterator[str]) -> None:
    """Apply one option or address."""
    if not word.startswith("-") or word == "-":
        if command.url is not None:
            raise InvalidRequest(f"The command has a second address, {quoted(word)}; paste one request.")
        command.url = word
    elif word in _IGNORED:
        return
    elif word in _IGNORED_VALUES:
        next(words, None)
    elif word in _OPTIONS:
        _OPTIONS[word](command, _value(word, words))
    elif word in _FLAGS:
        _FLAGS[word](command)
    elif not word.startswith("--") and len(word) > 2:
        _take_bundle(command, word, words)
    else:
        raise InvalidRequest(f"The option {quoted(word)} of curl is not supported here; leave it out.")


def _take_bundle(command: _Command, word: str, words: Iterator[str]) -> None:
    """Apply several short options in one word, or one with its value: ``-sSL``, ``-XPOST``."""
    for at, letter in enumerate(word[1:], 2):
        option = f"-{letter}"
        rest = word[at:]
        if option in _OPTIONS and rest:
            _OPTIONS[option](command, rest)
            return
        if option in _IGNORED_VALUES and rest:
            return
        _take(command, option, words)


def _value(word: str, words: Iterator[str]) -> str:
    value = next(words, None)
    if value is None:
        raise InvalidRequest(f"The option {quoted(word)} of curl needs a value.")
    return value


def _set_method(command: _Command, value: str) -> None:
    command.method = value.upper()


def _set_url(command: _Command, value: str) -> None:
    command.url = value


def _add_header(command: _Command, value: str) -> None:
    if value.startswith("@"):
        raise InvalidRequest("The command reads its headers from a file; paste them in place of it.")
    name, colon, content = value.partition(":")
    if colon and content.strip():
        command.headers.append((name.strip(), content.strip()))
    elif not colon and value.endswith(";"):
        command.headers.append((value[:-1].strip(), ""))


def _add_data(command: _Command, value: str) -> None:
    if value.startswith("@"):
        raise InvalidRequest(f"The command reads its body from the file {quoted(value[1:])}; paste the content.")
    command.data.append(value)


def _add_raw(command: _Command, value: str) -> None:
    command.data.append(value)


def _add_encoded(command: _Command, value: str) -> None:
    name, equals, content = value.partition("=")
    if not equals and "@" in value:
        raise InvalidRequest("The command reads its body from a file; paste the content.")
    command.data.append(f"{name}={quote_plus(content)}" if equals and name else quote_plus(content or name))


def _add_json(command: _Command, value: str) -> None:
    _add_data(command, value)
    command.is_json = True


def _add_cookie(command: _Command, value: str) -> None:
    if "=" not in value:
        raise InvalidRequest("The command reads its cookies from a file; paste them in place of it.")
    command.headers.append(("Cookie", value))


def _set_user(command: _Command, value: str) -> None:
    encoded = base64.b64encode(value.encode("utf-8", "replace")).decode()
    command.headers.append(("Authorization", f"Basic {encoded}"))


def _set_get(command: _Command) -> None:
    command.is_get = True


def _set_head(command: _Command) -> None:
    command.method = "HEAD"


def _refuse_form(_command: _Command, _value: str) -> None:
    raise InvalidRequest("Forms with files (-F) are not supported here; send the body with --data-raw.")


_OPTIONS: dict[str, Callable[[_Command, str], None]] = {
    **dict.fromkeys(("-X", "--request"), _set_method),
    "--url": _set_url,
    **dict.fromkeys(("-H", "--header"), _add_header),
    **dict.fromkeys(("-d", "--data", "--data-binary", "--data-ascii"), _add_data),
    "--data-raw": _add_raw,
    "--data-urlencode": _add_encoded,
    "--json": _add_json,
    **dict.fromkeys(("-b", "--cookie"), _add_cookie),
    **dict.fromkeys(("-u", "--user"), _set_user),
    **dict.fromkeys(("-A", "--user-agent"), lambda command, value: command.headers.append(("User-Agent", value))),
    **dict.fromkeys(("-e", "--referer"), lambda command, value: command.headers.append(("Referer", value))),
    **dict.fromkeys(("-F", "--form", "--form-string"), _refuse_form),
}
_FLAGS: dict[str, Callable[[_Command], None]] = {
    **dict.fromkeys(("-G", "--get"), _set_get),
    **dict.fromkeys(("-I", "--head"), _set_head),
}


def _request(command: _Command) -> ReadyRequest:
    """Return the request of all options."""
    if command.url is None:
        raise InvalidRequest("The command has no address.")
    target = target_of(command.url)
    data = "&".join(command.data) if not command.is_json else "".join(command.data)
    if command.is_get and command.data:
        target = f"{target}{'&' if '?' in target else '?'}{data}"
        _check(target)
    has_body = bool(command.data) and not command.is_get
    if has_body and not command.has("content-type"):
        kind = "application/json" if command.is_json else "application/x-www-form-urlencoded"
        command.headers.append(("Content-Type", kind))
    if command.is_json and not command.has("accept"):
        command.headers.append(("Accept", "application/json"))
    method = command.method or ("POST" if has_body else "GET")
    body = data.encode("utf-8", "surrogateescape") if has_body else None
    return ReadyRequest(method, target, sendable(tuple(command.headers)), body)


def target_of(url: str) -> str:
    """Return path and query of an address; the host may be missing.

    Raises:
        InvalidRequest: It is not an address, or it has a space or a control character.
    """
    _check(url)
    rest = url.partition("#")[0]
    if not rest.startswith("/"):
        rest = rest.partition("://")[2] if "://" in rest else rest
        host_end = _HOST_END.search(rest)
        if host_end is None or host_end.start() == 0:
            raise InvalidRequest(f"{quoted(url)} is not an address.")
        rest = rest[host_end.start() :]
    return rest if rest.startswith("/") else f"/{rest}"


def _check(url: str) -> None:
    bad = _UNSENDABLE.search(url)
    if bad is not None:
        raise InvalidRequest(
            f"The address {quoted(url)} has a space or a control character; write it with % and two digits."
        )


def _words(text: str) -> Iterator[str]:
    """Yield the words of a command, as a POSIX shell reads them. Linear in the text's length.

    Raises:
        InvalidRequest: A quote is open, or the text is more than one plain command.
    """
    text, at, count = text.strip(), 0, 0
    word: list[str] | None = None
    while at < len(text):
        found = _PART.match(text, at)
        if found is None:
            raise InvalidRequest(
                f"The text at character {at + 1} ({quoted(text[at : at + 10])}) is not part of one plain command: a "
                "quote is not closed, or the shell would run something."
            )
        at = found.end()
        if found["space"] is not None:
            if word is not None:
                yield "".join(word)
            word = None
            continue
        piece = _piece(found)
        if piece is not None:
            if word is None:
                word, count = [], count + 1
            word.append(piece)
        if count > _MOST_WORDS:
            raise InvalidRequest(f"The command has more than {_MOST_WORDS} words.")
    if word is not None:
        yield "".join(word)


def _piece(found: re.Match[str]) -> str | None:
    """Return the text of a part of a word; None for a continued line."""
    if found["escaped"] is not None:
        return found["escaped"]
    if found["single"] is not None:
        return found["single"]
    if found["double"] is not None:
        return re.sub(r'\\([\\"$`])|\\\n', lambda one: one[1] or "", found["double"])
    if found["ansi"] is not None:
        return re.sub(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|.)", _ansi, found["ansi"])
    return found["plain"]


def _ansi(found: re.Match[str]) -> str:
    code = _CODE.fullmatch(found[1])
    if code is None:
        return _ESCAPES.get(found[1], found[0])
    number = int(code[4], 8) if code[4] else int(code[1] or code[2] or code[3], 16)
    return chr(number) if number < 0x110000 else "\N{REPLACEMENT CHARACTER}"
