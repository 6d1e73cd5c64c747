"""Level and source of a single line from its text alone; ``recognise`` adds its neighbours' context.

All patterns are bounded or scan disjoint runs, so the time is linear in the line's length. A substring check precedes
each costly pattern, because an ordinary line must cost well under a microsecond.
"""

from __future__ import annotations

import json
import re

from preview.logs.model.events import ACCESS, ERROR, INFO, WARNING, WORDS, level_of

_UPPER = "DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL|TRACE|NOTICE|SUCCESS|SEVERE|PANIC"
_LOWER = "debug|info|warning|warn|error|critical|fatal|panic|trace|notice|verbose|http"
_METHODS = "GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|TRACE|CONNECT"

# A level is searched only in this many characters at the start of a line.
_HEAD = 200
# `INFO:     …`, `[INFO] …`, `WARNING:root:…`, `ERROR something`; lower case only before a colon or bracket.
_AT_START = re.compile(rf"[\[(<]?(?:({_UPPER})(?=[\]):>|\s]|$)|({_LOWER})\s?[\]:])")
# After a timestamp: `2025-01-01 12:00:00,123 - name - ERROR - …`, `… | INFO     | …`, `… [info     ] …`.
_AFTER_TIME = re.compile(rf"[\s\[(|:-](?:({_UPPER})(?=[\])|:\s,-]|$)|(?<=[\[|])({_LOWER})\s*\])")
# After a name, between separators: `shop - ERROR - …`, `shop | WARN | …`, `web [error] …`.
_SEPARATED = re.compile(rf"(?: - |\| ?|\[)({_UPPER}|{_LOWER})\s*(?: - |\||\]|: )")
_LOGFMT = re.compile(r"""(?:^|\s)(?:level|lvl|severity)=["']?([A-Za-z]{1,16})""")

# Combined and common log formats, uvicorn, hypercorn ("GET / 1.1"), werkzeug, Django; uvicorn's WebSocket lines.
_REQUEST = re.compile(
    rf'"(?:(?:{_METHODS}) [^"\s]+(?: (?:HTTP/)?\d(?:\.\d)?)?|WebSocket [^"\s]+)" (?:(\d{{3}})\b|\[accepted\])'
)
# morgan's dev and tiny formats: `GET /path 200 1.234 ms - 12`, `GET /path 200 12 - 1.234 ms`.
_MORGAN = re.compile(rf"(?:{_METHODS}) /\S* (\d{{3}}) [\d.]{{1,20}} (?:ms\b|- [\d.]{{1,20}} ms)")

_ERROR_NAME = re.compile(
    r"(?:Uncaught |Unhandled )?(?:[A-Za-z_$][\w$.]{0,200}(?:Error|Exception)|Error|Exception)(?: \[\w{1,64}\])?(?::|$)"
)
_PYTHON_WARNING = re.compile(r":\d{1,9}: (?:\w{1,64}\.){0,8}\w{0,64}Warning: ")
_ERROR_STARTS = (
    "Traceback (most recent call last)",
    "Exception in ",
    "Exception ignored ",
    "Error in ",
    "Fatal Python error",
)
_ERROR_PHRASES = ("npm ERR!", "npm error", "[nodemon] app crashed", "Segmentation fault", "Unhandled ", "Uncaught ")
_WARNING_PHRASES = ("npm WARN", "npm warn")
_RARE_INITIALS = frozenset(phrase[0] for phrase in (*_ERROR_PHRASES, *_WARNING_PHRASES))
_JSON_LEVEL_KEYS = ("level", "severity", "levelname", "log.level", "loglevel", "lvl", "severityText", "severity_text")
_METHOD_WORDS = frozenset(_METHODS.split("|"))
_STATUSES = frozenset(map(str, range(100, 600)))
_ACCESS_FINE, _ACCESS_FAILED = ACCESS + INFO, ACCESS + ERROR
_TIME_INITIALS = frozenset("0123456789[")
# First words that are a level: `INFO:`, `[WARN]`, `ERROR`, `error:`.
_FIRST_WORDS: dict[str, int] = {
    form.format(word): WORDS[word.lower()]
    for forms, words in (
        (("{}", "{}:", "[{}]", "[{}]:", "<{}>"), _UPPER.split("|")),
        (("{}:", "[{}]", "[{}]:"), _LOWER.split("|")),
    )
    for form in forms
    for word in words
    if form != "{}" or word != "TRACE"  # `TRACE /path` is a request's method
}
# Words after a time that are a level: `| ERROR |`, `- ERROR -`, `[info`, `(ERROR)`.
_LEVEL_TOKENS: dict[str, int] = {
    **_FIRST_WORDS,
    **{form.format(word): WORDS[word.lower()] for form in ("({})", "{},", "|{}|") for word in _UPPER.split("|")},
    **{f"[{word}": WORDS[word] for word in _LOWER.split("|")},
}


def mark_by_looks(line: str) -> int:
    """Return the line's level, plus ``ACCESS`` for an access log line; ``INFO`` if nothing is recognised.

    Access lines are INFO for client errors (a 404 is normal for a server). They are ERROR from status 500 on, as
    the preview itself has failed.

    Args:
        line: One line without line end and without colours.
    """
    end = line.find('" ')
    if end >= 0:
        # Fast path for the common form: `"METHOD …" 200`.
        status = line[end + 2 : end + 5]
        start = line.rfind('"', 0, end) + 1
        if status in _STATUSES and line[start:end].partition(" ")[0] in _METHOD_WORDS:
            return _ACCESS_FAILED if status >= "500" else _ACCESS_FINE
        request = _REQUEST.search(line)
        if request is not None:
            return _access(request.group(1))
    first = line.partition(" ")[0]
    level = _FIRST_WORDS.get(first)
    if level is None:
        if first[:1] in _TIME_INITIALS:
            level = _behind_time(line)
        elif first[:1] == "{":
            return _json(line)
        elif first in _METHOD_WORDS:
            request = _MORGAN.match(line)
            if request is not None:
                return _access(request.group(1))
        elif (
            ":" in first or "]" in first or "=" in first or ">" in first or line[len(first) + 1 : len(first) + 2] == ":"
        ):
            level = _glued(line)
    return _by_name(line) if level is None else level


def _access(status: str | None) -> int:
    return _ACCESS_FAILED if status is not None and status >= "500" else _ACCESS_FINE


def _word(match: re.Match[str] | None) -> int | None:
    if match is None:
        return None
    return WORDS[match.group(match.lastindex or 0).lower()]


def _behind_time(line: str) -> int | None:
    """Return the level in a line that starts with a time or a bracket. Tries whole words first, the common form."""
    for word in line.split(None, 6):
        level = _LEVEL_TOKENS.get(word)
        if level is not None:
            return level
    level = _word(_AT_START.match(line)) if line[0] == "[" else None
    return level if level is not None else _word(_AFTER_TIME.search(line, 0, _HEAD))


def _glued(line: str) -> int | None:
    """Return the level in a first word that contains more than the level."""
    level = _word(_AT_START.match(line))
    if level is None and (found := _LOGFMT.search(line, 0, _HEAD)):
        return level_of(found.group(1))
    return level


def _by_name(line: str) -> int:
    """Recognise rarer forms; a substring search precedes each pattern."""
    if ("rror" in line or "xcept" in line or "Trace" in line) and (
        _ERROR_NAME.match(line) or line.startswith(_ERROR_STARTS)
    ):
        return ERROR
    if "arning: " in line and (line.startswith("Warning: ") or _PYTHON_WARNING.search(line)):
        return WARNING
    if " - " in line or "|" in line or "[" in line:
        found = _word(_SEPARATED.search(line, 0, _HEAD))
        if found is not None:
            return found
    initial = line[:1]
    if initial in _RARE_INITIALS:
        if line.startswith(_ERROR_PHRASES):
            return ERROR
        if line.startswith(_WARNING_PHRASES):
            return WARNING
    return INFO


def _json(line: str) -> int:
    """Return a JSON line's level. Pino's HTTP lines have ``req`` and ``res`` and count as access lines."""
    if not line.endswith("}"):
        return INFO
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return INFO
    request, response = record.get("req"), record.get("res")
    if isinstance(request, dict) and isinstance(response, dict):
        status = response.get("statusCode")
        return _access(str(status) if isinstance(status, int) else None)
    for key in _JSON_LEVEL_KEYS:
        level = level_of(record.get(key))
        if level is not None:
            return level
    level = level_of(record.get("levelno"), python=True)
    return INFO if level is None else level
