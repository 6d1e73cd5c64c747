"""Small pages without external resources, shown instead of a preview. Programs get a problem document."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape

from preview.core.escapes import without_colours
from preview.http.contracts import v1
from preview.http.core.errors import Problem
from preview.proxy.admission import Fields, OwnAnswer, RequestHead

Field = tuple[bytes, bytes]

_SHOWN_LINE_CHARS = 500
# Titles for a person who does not know the API's terms.
_TITLES = {401: "This preview is not open to you", 403: "This preview is not open to you"}
_COMMAND = re.compile("`([^`]+)`")
_AS_CODE = r"<code>\1</code>"

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 12vh auto; max-width: 46rem; padding: 0 1.5rem }
h1 { font-size: 1.4rem; font-weight: 600 }
code { background: #8881; border-radius: .2rem; padding: 0 .2rem }
pre { background: #8881; border-radius: .4rem; overflow-x: auto; padding: .8rem; white-space: pre-wrap }
small { opacity: .7 }
"""
# Polls until the preview is ready, even while the service is briefly unavailable, and then loads it.
_WAIT = """
const url = document.currentScript.dataset.state;
(async () => {
  for (;;) {
    try {
      const answer = await fetch(url, {cache: "no-store"});
      if (!answer.ok || (await answer.json()).state !== "starting") break;
    } catch {}
    await new Promise((done) => setTimeout(done, 500));
  }
  location.reload();
})();
"""


def _hashed(text: str) -> str:
    """Return the hash by which a Content-Security-Policy allows inline content (CSP3 section 2.3.1)."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; style-src {_hashed(_STYLE)}; script-src {_hashed(_WAIT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_PROTECTING: tuple[Field, ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def is_navigation(head: RequestHead) -> bool:
    """Return whether a person waits for a page, by the browser's fields or by the accepted types."""
    if head.method not in {"GET", "HEAD"}:
        return False
    said = {name: value for name, value in head.fields if name in {b"accept", b"sec-fetch-mode", b"upgrade"}}
    if b"upgrade" in said:
        return False
    mode = said.get(b"sec-fetch-mode")
    return b"text/html" in said.get(b"accept", b"") if mode is None else mode == b"navigate"


def error_answer(
    problem: Problem, head: RequestHead, *, lines: Iterable[str] = (), fields: Iterable[Field] = ()
) -> OwnAnswer:
    """Return the problem as a page for a navigation, otherwise as a problem document.

    Args:
        problem: The problem to show.
        head: The request.
        lines: The preview's last log lines for a page; a document has them in its details.
        fields: Further header fields of the response.
    """
    more = [*((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in problem.headers.items())]
    more += fields
    if is_navigation(head):
        title = _TITLES.get(problem.status, problem.title)
        body = _page(title, f"<p>{_COMMAND.sub(_AS_CODE, escape(problem.detail))}</p>{_shown(lines)}")
        return _answer(problem.status, b"text/html; charset=utf-8", body.encode("utf-8", "replace"), more)
    path = head.target.partition(b"?")[0].decode("latin-1")
    shown = v1.Problem.of(problem, path).dumped()
    return _answer(problem.status, b"application/problem+json", json.dumps(shown, default=str).encode(), more)


def waiting_page(state_path: str, retry_after_s: int) -> OwnAnswer:
    """Return a page that opens the preview when it is ready; without scripts, the visitor must reload it.

    Args:
        state_path: Address that the page polls; see ``RESERVED``.
        retry_after_s: Seconds for ``Retry-After``, for clients other than browsers.
    """
    body = (
        "<p>The preview is starting. This page will open it automatically.</p>"
        f'<script data-state="{escape(state_path)}">{_WAIT}</script>'
        "<noscript><p><small>Without JavaScript: load this page again in a moment.</small></p></noscript>"
    )
    page = _page("The preview is starting", body).encode()
    return _answer(503, b"text/html; charset=utf-8", page, [(b"retry-after", str(retry_after_s).encode())])


def json_answer(value: object, status: int = 200) -> OwnAnswer:
    """Return a value as JSON."""
    return _answer(status, b"application/json", json.dumps(value).encode())


def redirect_answer(status: int, location: bytes, fields: Fields = ()) -> OwnAnswer:
    """Return a redirect; browsers neither cache it nor send its address as ``Referer``."""
    return _answer(status, b"text/plain; charset=utf-8", b"", [(b"location", location), *fields])


def empty_answer() -> OwnAnswer:
    """Return a response with status 204."""
    return OwnAnswer(204, [(b"cache-control", b"no-store")], b"")


def _answer(status: int, kind: bytes, body: bytes, fields: Iterable[Field] = ()) -> OwnAnswer:
    return OwnAnswer(status, [(b"content-type", kind), *_PROTECTING, *fields], body)


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style><main><h1>{escape(title)}</h1>{body}</main></html>"
    )


def _shown(lines: Iterable[str]) -> str:
    text = "\n".join(_plain(line) for line in lines)
    return f"<pre>{escape(text)}</pre>" if text else ""


def _plain(line: str) -> str:
    """Return the line without terminal colours, and with bounded length."""
    return without_colours(line)[:_SHOWN_LINE_CHARS]
