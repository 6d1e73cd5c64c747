"""A request as text to paste: ``curl``, Python with httpx, JavaScript's ``fetch``, and a pytest test.

A request is a stranger's text, so each value is quoted by the rules of its language, and characters that a terminal
does not show are escaped: pasting runs nothing else than the one request.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from enum import StrEnum
from urllib.parse import quote

from preview.traffic.ready import ReadyRequest

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
# RFC 9110 section 5.1.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 3986: all characters that may appear in a target; "%" as escapes stay.
_TARGET_SAFE = "/:@!$&'()*+,;=-._~%?[]"
_SECRETS = "Values with [redacted…] were not recorded: fill them in."


class Format(StrEnum):
    """Form of the text."""

    CURL = "curl"
    HTTPX = "httpx"
    FETCH = "fetch"
    PYTEST = "pytest"


def export(request: ReadyRequest, form: Format, base_url: str, *, status: int = 200) -> str:
    """Return a request as text.

    Args:
        request: The request.
        form: Form of the text.
        base_url: Address of the preview, without a slash at its end.
        status: Expected status, for a test.
    """
    if form is Format.CURL:
        return as_curl(request, base_url)
    if form is Format.HTTPX:
        return _as_httpx(request, base_url)
    if form is Format.FETCH:
        return _as_fetch(request, base_url)
    return _as_pytest(request, base_url, status)


def as_curl(request: ReadyRequest, base_url: str) -> str:
    """Return the request as one command for a POSIX shell."""
    before, words = "", ["curl", "--globoff"]
    if request.method == "HEAD":
        words.append("--head")
    elif request.method != ("GET" if request.body is None else "POST"):
        words += ["--request", request.method]
    words.append(_url(request, base_url))
    for name, value in _fields(request):
        words += ["--header", f"{name}: {value}" if value.strip() else f"{name};"]
    if request.body is not None:
        if request.header("content-type") is None:
            # Else curl adds that of forms.
            words += ["--header", "Content-Type:"]
        text = _plain_text(request.body)
        if text is None:
            # A format that begins with a hyphen is no option.
            before = f"printf -- {shlex.quote(_printf(request.body))} | "
            words += ["--data-binary", "@-"]
        else:
            words += ["--data-raw", text]
    return before + shlex.join(words) + "\n"


def _as_httpx(request: ReadyRequest, base_url: str) -> str:
    lines = [
        "import httpx",
        "",
        f"response = httpx.request({_python_arguments(request, ascii(_url(request, base_url)))})",
    ]
    lines += ["print(response.status_code, response.text)", ""]
    return "\n".join([*_remark(request, "#"), *lines])


def _python_arguments(request: ReadyRequest, url: str) -> str:
    """Return the arguments of httpx.request; ``url`` is an expression."""
    arguments = [ascii(request.method), url]
    if request.headers:
        arguments.append(f"headers={_fields(request)!a}")
    if request.body is not None:
        arguments.append(f"content={request.body!r}")
    return ", ".join(arguments)


def _as_fetch(request: ReadyRequest, base_url: str) -> str:
    options: list[str] = [f"method: {json.dumps(request.method)}"]
    if request.headers:
        options.append(f"headers: {_javascript(_fields(request))}")
    if request.body is not None:
        try:
            options.append(f"body: {_javascript(request.body.decode())}")
        except UnicodeDecodeError:
            encoded = base64.b64encode(request.body).decode()
            options.append(f'body: Uint8Array.from(atob("{encoded}"), (one) => one.charCodeAt(0))')
    call = f"const response = await fetch({_javascript(_url(request, base_url))}, {{ {', '.join(options)} }});"
    return "\n".join([*_remark(request, "//"), call, "console.log(response.status, await response.text());", ""])


def _as_pytest(request: ReadyRequest, base_url: str, status: int) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", f"{request.method} {request.target.partition('?')[0]}".lower()).strip("_")
    target = quote(request.target, safe=_TARGET_SAFE)
    arguments = _python_arguments(request, f"BASE_URL + {target!a}")
    return "\n".join(
        [
            *_remark(request, "#"),
            "import os",
            "",
            "import httpx",
            "",
            f"BASE_URL = os.environ.get('BASE_URL', {base_url!a})",
            "",
            "",
            f"def test_{name[:80] or 'request'}() -> None:",
            f"    response = httpx.request({arguments})",
            f"    assert response.status_code == {status or 200}, response.text",
            "",
        ]
    )


def _remark(request: ReadyRequest, mark: str) -> list[str]:
    return [f"{mark} {_SECRETS}"] if request.has_secrets else []


def _url(request: ReadyRequest, base_url: str) -> str:
    return base_url + quote(request.target, safe=_TARGET_SAFE)


def _fields(request: ReadyRequest) -> list[tuple[str, str]]:
    """Return the fields that can be sent, each value on one line. A name like ``@file`` would be an order to curl."""
    return [(name, _CONTROL.sub(" ", value).strip()) for name, value in request.headers if _TOKEN.fullmatch(name)]


def _javascript(value: object) -> str:
    return json.dumps(value, ensure_ascii=True)


def _plain_text(body: bytes) -> str | None:
    """Return the body as text that a terminal shows as it is; None if it has other bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _printf(body: bytes) -> str:
    r"""Return a format of printf(1) that prints the bytes: octal escapes, as POSIX has no others for all bytes."""
    plain = range(0x20, 0x7F)
    return "".join(
        chr(byte) if byte in plain and byte not in b"%\\" else "%%" if byte == 0x25 else f"\\{byte:03o}"
        for byte in body
    )
