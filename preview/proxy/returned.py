"""What a preview says of addresses and cookies, as it holds for whoever sees it by another address."""

from __future__ import annotations

import re

from preview.proxy.admission import Admitted, RequestHead

_ABSOLUTE = re.compile(rb"(?:https?:)?//([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
# HTML Living Standard, shared declarative refresh steps: a number, ``;`` or ``,``, and the address, in quotes or not.
_REFRESH = re.compile(rb"([ \t]*[0-9.]*[ \t]*[;,]?[ \t]*(?:url[ \t]*=[ \t]*)?['\"]?)(.*)", re.IGNORECASE | re.DOTALL)
# Under which a program on this machine knows itself.
_LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"0.0.0.0", b"[::1]", b"[::]"})


def returned_location(value: bytes, head: RequestHead, admitted: Admitted) -> bytes:
    """An address of the preview's as the browser may follow it; another's, and a relative one, as they are.

    Its own socket's address becomes the public one. In the path form the prefix is put in front of a path, unless the
    preview (which was told the prefix) has done so.
    """
    prefix = admitted.prefix.encode()
    found = _ABSOLUTE.match(value)
    if found is None:
        return _prefixed(value, prefix) if value.startswith(b"/") else value
    authority, rest = found.group(1).lower(), found.group(2)
    if _is_own_socket(authority, admitted):
        return b"%b://%b%b" % (head.scheme.encode(), head.host.encode("latin-1"), _prefixed(rest, prefix))
    if prefix and authority == head.host.encode("latin-1"):
        return value[: found.start(2)] + _prefixed(rest, prefix)
    return value


def returned_refresh(value: bytes, head: RequestHead, admitted: Admitted) -> bytes:
    """``5; url=/next`` with its address as ``returned_location`` gives it."""
    found = _REFRESH.match(value)
    if found is None or not found.group(2):
        return value
    return found.group(1) + returned_location(found.group(2), head, admitted)


def returned_clearing(value: bytes) -> bytes:
    """``Clear-Site-Data`` without cookies; empty where nothing is left.

    Browsers clear those of the whole registrable domain (the specification's section 3.1): other previews' access, and
    that to this one, would be gone with them.
    """
    kinds = [kind.strip(b" \t") for kind in value.split(b",")]
    known = [b'"cache", "storage"' if kind == b'"*"' else kind for kind in kinds if kind.lower() != b'"cookies"']
    return b", ".join(kind for kind in known if kind)


def returned_cookie(value: bytes, prefix: str, refused: tuple[bytes, ...]) -> bytes | None:
    """A cookie for this host alone, and in the path form for the preview's path alone; None where it may not be set.

    Args:
        value: Of ``Set-Cookie`` (RFC 6265 section 5.2).
        prefix: Of the path form, or empty.
        refused: What the name of no cookie may hold, in lower case.
    """
    pair, *attributes = value.split(b";")
    # A cookie without a name is sent as its value alone, which may look like a name (RFC 6265bis section 5.7).
    name = (pair.partition(b"=")[0].strip() or pair).lower()
    if any(one in name for one in refused):
        return None
    kept = [pair]
    for attribute in attributes:
        label, sign, given = attribute.partition(b"=")
        lowered = label.strip().lower()
        if lowered == b"domain":
            continue
        if prefix and lowered == b"path":
            path = given.strip()
            # A value that is no path means the request's folder, which is below the prefix.
            if path.startswith(b"/"):
                kept.append(b"%b%b%b" % (label, sign, _prefixed(path, prefix.encode())))
            continue
        kept.append(attribute)
    return b";".join(kept)


def _prefixed(path: bytes, prefix: bytes) -> bytes:
    """The path (with its query) below the prefix."""
    if not prefix or path == prefix or path.startswith((prefix + b"/", prefix + b"?", prefix + b"#")):
        return path
    return prefix + (path if path.startswith(b"/") else b"/" + path)


def _is_own_socket(authority: bytes, admitted: Admitted) -> bool:
    host, port = admitted.address
    name, _, given = authority.rpartition(b":")
    own = f"[{host}]" if ":" in host else host
    return given == str(port).encode() and (name in _LOOPBACK or name == own.encode())
