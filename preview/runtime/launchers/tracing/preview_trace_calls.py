"""Measures outgoing requests, and gives them a ``traceparent``, so that the called service's spans are of this trace.

Addresses are reported without user, password, query and fragment.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

from typing import Any

from preview_trace_work import Measured, wrap  # type: ignore[import-not-found]

_PARENT = "traceparent"


def _address(method: Any, url: Any) -> Measured:
    """Return the work of an outgoing request; its address is shown without user, password, query and fragment."""
    try:
        verb = method.decode("ascii") if isinstance(method, bytes) else str(method or "GET")
        scheme, _, rest = str(url).partition("://")
        rest = rest.partition("?")[0].partition("#")[0]
        host, slash, path = rest.partition("/")
        shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
        return Measured("call", f"{verb.upper()} {host.rpartition('@')[2]}{slash}{path}", shown)
    except Exception:  # noqa: BLE001  it is measured without its address
        return Measured("call", "request")


def _headers_of(at: int, name: str) -> Any:
    """Return what injects into the headers of a request, which is this argument."""

    def inject(field: str, given: Any, named: Any) -> Any:
        headers = (named[name] if name in named else given[at]).headers
        if _PARENT in headers:
            return None
        headers[_PARENT] = field
        # The program may send the same request again.
        return lambda: headers.pop(_PARENT, None)

    return inject


def _httpx(module: Any) -> None:
    def measure(_transport: Any, request: Any) -> Measured:
        return _address(request.method, request.url)

    inject = _headers_of(1, "request")
    wrap(module.HTTPTransport, "handle_request", measure, inject=inject)
    wrap(module.AsyncHTTPTransport, "handle_async_request", measure, is_async=True, inject=inject)


def _requests(module: Any) -> None:
    def measure(_session: Any, request: Any, **_named: Any) -> Measured:
        return _address(request.method, request.url)

    wrap(module.Session, "send", measure, inject=_headers_of(1, "request"))


def _urllib(module: Any) -> None:
    def measure(_opener: Any, fullurl: Any, data: Any = None, *_given: Any, **_named: Any) -> Measured:
        if isinstance(fullurl, str):
            return _address("GET" if data is None else "POST", fullurl)
        return _address(fullurl.get_method(), fullurl.full_url)

    def inject(field: str, given: Any, named: Any) -> Any:
        asked = named["fullurl"] if "fullurl" in named else given[1]
        if isinstance(asked, str):
            # As ``open`` itself does; it adds the data.
            asked = module.Request(asked)
            if "fullurl" in named:
                named["fullurl"] = asked
            else:
                given[1] = asked
        elif asked.has_header(_PARENT.capitalize()):
            return None
        asked.add_header(_PARENT, field)
        return lambda: asked.remove_header(_PARENT.capitalize())

    wrap(module.OpenerDirector, "open", measure, inject=inject)


def _aiohttp(module: Any) -> None:
    def measure(_session: Any, method: Any, url: Any, **_named: Any) -> Measured:
        return _address(method, url)

    def inject(field: str, given: Any, named: Any) -> None:
        if _PARENT in given[0].headers:
            # A request's headers would replace those of its session.
            return
        headers = module.CIMultiDict(named.get("headers") or ())
        headers.setdefault(_PARENT, field)
        named["headers"] = headers

    wrap(module.ClientSession, "_request", measure, is_async=True, inject=inject)


CALLS: dict[str, Any] = {
    "aiohttp.client": _aiohttp,
    "httpx": _httpx,
    "requests.sessions": _requests,
    "urllib.request": _urllib,
}
"""What changes a module, by its name."""
