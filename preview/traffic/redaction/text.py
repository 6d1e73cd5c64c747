"""Redaction of text in any form: JSON, forms, configuration, program text, logs.

Every pattern takes linear time. A pattern either starts at the border of a run of characters only, or reads a bounded
number of characters. No text is parsed: a cut or malformed one is redacted like a whole one.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from urllib.parse import quote, unquote_plus

from preview.logs.ingest.secret_names import WORDS, Secrecy, secrecy_of

Hide = Callable[[str], str]
"""Returns the mark that replaces a secret."""

# A name in quotes, or a bare one at the border of a run; then ``:`` or ``=``. Each part is atomic.
_NAMED = re.compile(
    r"""(?:(?P<quote>\\{0,7}["'])(?P<quoted>(?:[^"'\\\r\n]|\\u[0-9a-fA-F]{4}){1,256}+)(?P=quote)"""
    r"""|(?<![\w.%\[\]-])(?P<bare>[\w.%\[\]-]{1,256}+))[ \t\r\n]{0,64}+(?:=>|[:=])[ \t\r\n]{0,64}+"""
)
_QUOTE = re.compile(r"""\\{0,7}["'`]""")
_BARE = re.compile(r"""[^\s"'`&,;<>(){}\[\]\\]*+""")
# Strings and brackets of a value that is an object or an array.
_PARTS = re.compile(r"""(?P<quote>\\{0,7}["'])|(?P<open>[\[{(])|(?P<close>[\]})])|(?P<bare>[\w.+/=@#$%!^*~-]++)""")
_PLAIN_WORDS = frozenset({"", "null", "none", "true", "false", "undefined", "nil"})
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")
_MARK = "[redacted:"


def redact_text(text: str, hide: Hide) -> str:
    """Replace secrets in a text: values with secret names, tokens, passwords in URLs, private keys."""
    lowered = text.lower()
    if any(word in lowered for word in WORDS):
        text = _redact_named(text, hide)
        if "<" in text:
            text = _ELEMENT.sub(lambda found: _element(found, hide), text)
            text = _TAG.sub(lambda found: _tag(found[0], hide), text)
        if "value" in text:
            text = _PAIR.sub(lambda found: _pair(found, hide), text)
    return redact_tokens(text, hide)


def _redact_named(text: str, hide: Hide) -> str:
    kept: list[str] = []
    done = at = 0
    while (found := _NAMED.search(text, at)) is not None:
        at = found.end()
        # An address: the word before ``://`` is no name.
        secrecy = Secrecy.PLAIN if text.startswith("//", at) else secrecy_of(found["quoted"] or found["bare"])
        if secrecy is Secrecy.PLAIN:
            # The next name may start right here, or within the quotes of this one.
            at = max(found.start() + 1, at - 1) if found["quoted"] is None else at
            continue
        kept.append(text[done:at])
        shown, at = _value(text, at, secrecy, hide)
        kept.append(shown)
        done = at
    return text if not kept else "".join([*kept, text[done:]])


def _value(text: str, at: int, secrecy: Secrecy, hide: Hide) -> tuple[str, int]:
    """Return the redacted value at this position, and its end."""
    quote_ = _QUOTE.match(text, at)
    if quote_ is not None:
        end = _closing(text, quote_.end(), quote_[0])
        content = text[quote_.end() : end]
        return (quote_[0] + (hide(content) if content else "")), end
    if text[at : at + 1] in {"[", "{", "("} and not text.startswith(_MARK, at):
        return _nested(text, at, secrecy, hide)
    bare = _BARE.match(text, at)
    given = "" if bare is None else bare[0]
    return _hidden_word(given, secrecy, hide), at + len(given)


def _hidden_word(given: str, secrecy: Secrecy, hide: Hide) -> str:
    is_plain = given.lower() in _PLAIN_WORDS or (secrecy is Secrecy.TEXT and _NUMBER.fullmatch(given))
    return given if is_plain else hide(given)


# Longest run of backslashes that is counted before a quote.
_MOST_SLASHES = 64


def _closing(text: str, at: int, quote_: str) -> int:
    """Return the position of the quote that ends a string; the text's end if it was cut.

    JSON in a string in JSON has one, three, seven … backslashes before each quote, as many as the first one has. A
    quote within the string has more, and a backslash at the string's end adds a multiple of twice as many and two.
    """
    sign, depth = quote_[-1], len(quote_) - 1
    while (end := text.find(sign, at)) >= 0:
        slashes = 0
        while slashes < _MOST_SLASHES and end - 1 - slashes >= at and text[end - 1 - slashes] == "\\":
            slashes += 1
        if slashes % (2 * depth + 2) == depth:
            return end - depth
        at = end + 1
    return len(text)


def _nested(text: str, at: int, secrecy: Secrecy, hide: Hide) -> tuple[str, int]:
    """Redact each string and word of an object or array. Names in it stay, as a name is followed by a colon."""
    kept: list[str] = []
    depth, done = 0, at
    while (found := _PARTS.search(text, at)) is not None:
        at = found.end()
        if found["open"]:
            depth += 1
        elif found["close"]:
            depth -= 1
            if depth <= 0:
                break
        else:
            start = found.start()
            if found["quote"]:
                start, at = at, _closing(text, at, found["quote"])
            given = text[start:at]
            at += len(found["quote"] or "")
            after = text[at : at + 8].lstrip()
            if not after.startswith((":", "=")) and given:
                kept.append(text[done:start] + _hidden_word(given, secrecy, hide))
                done = start + len(given)
    else:
        at = len(text)
    return "".join([*kept, text[done:at]]), at


# Elements and attributes of HTML and XML; no part crosses a ``<``. Fields as ``{"name": "password", "value": "…"}``.
_ELEMENT = re.compile(r"<(?:[\w-]{1,64}+:)?([\w.-]{1,64}+)(?:\s[^<>]{0,1024}+)?>([^<]{1,8192}+)(?=</)")
_TAG = re.compile(r"(?i)<(?:input|meta|param|property|entry|add)\b[^<>]{0,2048}+>")
_ATTRIBUTE = re.compile(r"""(?i)\b(name|id|key|value|content)(\s{0,8}+=\s{0,8}+["'])([^"'<>]{0,2048}+)""")
_PAIR = re.compile(
    r"""(["'](?:name|key|field|id)["']\s{0,16}+:\s{0,16}+["']([^"'\\]{1,64}+)["']\s{0,16}+,\s{0,16}+"""
    r"""["']value["']\s{0,16}+:\s{0,16}+["'])((?:[^"'\\]|\\.){1,4096}+)"""
)


def _element(found: re.Match[str], hide: Hide) -> str:
    if secrecy_of(found[1]) is Secrecy.PLAIN or found[2].startswith(_MARK) or not found[2].strip():
        return found[0]
    return found[0][: -len(found[2])] + hide(found[2])


def _tag(text: str, hide: Hide) -> str:
    """Hide the values of a tag whose ``name`` is a secret's."""
    attributes = [(one[1].lower(), one[3]) for one in _ATTRIBUTE.finditer(text)]
    if all(name in {"value", "content"} or secrecy_of(value) is Secrecy.PLAIN for name, value in attributes):
        return text
    return _ATTRIBUTE.sub(
        lambda one: one[1] + one[2] + hide(one[3]) if one[1].lower() in {"value", "content"} and one[3] else one[0],
        text,
    )


def _pair(found: re.Match[str], hide: Hide) -> str:
    if secrecy_of(found[2]) is Secrecy.PLAIN or found[3].startswith(_MARK):
        return found[0]
    return found[1] + hide(found[3])


# Tokens that are secrets wherever they are.
_PREFIXES = (
    "eyJ", "sk_live_", "sk_test_", "rk_live_", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-",
    "AKIA", "ASIA", "AIza", "xoxb-", "xoxp-", "xoxa-", "xoxs-", "xapp-", "npm_", "pypi-", "hf_", "whsec_", "SG.",
)  # fmt: skip
_PREFIXED = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(map(re.escape, _PREFIXES)) + r")[A-Za-z0-9_.~-]{12,}+")
_SCHEME = re.compile(r"(?i)(?<![a-z])(bearer|basic)(?:[ \t]|%20|\+){1,4}([A-Za-z0-9+/=_.~%-]{6,}+)")
_USER_INFO = re.compile(r"://([^\s/?#\"'<>@:]{0,256}+):([^\s/\"'<>@]{1,512}+)@")
_LONG = 20


def redact_tokens(text: str, hide: Hide) -> str:
    """Replace what is recognised without a name: JWTs, keys with known prefixes, bearer tokens, passwords in URLs."""
    if any(prefix in text for prefix in _PREFIXES):
        text = _PREFIXED.sub(lambda found: hide(found[0]), text)
    lowered = text.lower()
    if "bearer" in lowered or "basic" in lowered:
        text = _SCHEME.sub(lambda found: _scheme(found, hide), text)
    if "://" in text:
        text = _USER_INFO.sub(lambda found: f"://{found[1]}:{_once(found[2], hide)}@", text)
    if "PRIVATE KEY-----" in text:
        text = _private_keys(text, hide)
    return text


def _once(secret: str, hide: Hide) -> str:
    return secret if secret.startswith(_MARK) else hide(secret)


def _scheme(found: re.Match[str], hide: Hide) -> str:
    """Hide the credentials after a scheme's name; leave prose (``basic functionality``)."""
    given = found[2]
    if found[1].lower() == "bearer":
        is_secret = len(given) >= _LONG or any(one.isdigit() for one in given)
    else:
        is_secret = note_basic(unquote_plus(given), hide)
    return found[0][: -len(given)] + hide(given) if is_secret else found[0]


def note_basic(given: str, hide: Hide) -> bool:
    """Return whether these are Basic credentials (RFC 7617); if so, ``hide`` gets their password, to know it."""
    try:
        pair = b64decode(given[:4096] + "=" * (-len(given) % 4))
    except ValueError:
        return False
    _, colon, password = pair.partition(b":")
    if password:
        hide(password.decode("utf-8", "replace"))
    return bool(colon)


def _private_keys(text: str, hide: Hide) -> str:
    kept: list[str] = []
    done = 0
    while (begin := text.find("PRIVATE KEY-----", done)) >= 0:
        start = begin + len("PRIVATE KEY-----")
        end = text.find("-----END", start)
        end = len(text) if end < 0 else end
        kept += [text[done:start], hide(text[start:end])]
        # The words ``END … PRIVATE KEY-----`` begin no key.
        after = text.find("PRIVATE KEY-----", end)
        done = end if after < 0 or after > end + 64 else after + len("PRIVATE KEY-----")
        kept.append(text[end:done])
    return "".join([*kept, text[done:]])


# Parameters

# Codes of a login (RFC 6749 section 4.1.2) are longer than those of errors or countries.
_CODE_CHARACTERS = 12


def redact_parameters(text: str, hide: Hide) -> str:
    """Replace secrets in ``a=1&b=2``: a query or a form."""
    return "&".join(_parameter(pair, hide) for pair in text.split("&"))


def _parameter(pair: str, hide: Hide) -> str:
    name, sign, value = pair.partition("=")
    if not value:
        return redact_tokens(pair, hide)
    if secrecy_of(name) is not Secrecy.PLAIN or (name == "code" and len(value) >= _CODE_CHARACTERS):
        return f"{name}{sign}{hide(value)}"
    decoded = unquote_plus(value)
    redacted = redact_text(decoded, hide)
    if redacted == decoded:
        return pair
    return f"{name}{sign}{quote(redacted, safe='[]:/@')}"


def redact_target(target: str, hide: Hide) -> str:
    """Replace secrets in a request's target, or in another address with a query or a fragment."""
    path, question, query = target.partition("?")
    if not question:
        path, hash_, fragment = path.partition("#")
        return _redact_path(path, hide) + (hash_ + redact_parameters(fragment, hide) if hash_ else "")
    query, hash_, fragment = query.partition("#")
    shown = f"{_redact_path(path, hide)}?{redact_parameters(query, hide)}"
    return f"{shown}#{redact_parameters(fragment, hide)}" if hash_ else shown


def _redact_path(path: str, hide: Hide) -> str:
    """Replace secrets in a path, also in parameters of its segments: ``/a;jsessionid=…``."""
    return redact_text(path, hide) if "=" in path else redact_tokens(path, hide)
