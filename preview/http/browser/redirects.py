"""Redirects of API clients to the node that owns their preview, if the operator has chosen them.

1. Only to the owner's public address, as its own row in the database has it, with the same path and query.
2. Only without content, which would be sent twice.
3. Only programs: a browser's cookies belong to the host name that it has used, and another origin would not get its
   requests. Browsers send ``Origin``, ``Sec-Fetch-Site`` or cookies.
4. Never with a secret in the query, as addresses are logged.
5. Once: the new address has ``HOP``, and a request with it is never redirected.
6. Only users (``ClusterRouter`` checks it): nobody else learns where a preview runs.
"""

from __future__ import annotations

import re

from preview.cluster import Owner
from preview.proxy.admission import OwnAnswer, RequestHead

HOP = b"preview-hop"
OWNER_FIELD = b"preview-owner"
"""Field of the redirect: the name of the node. Clients follow no redirect without it."""

# A name that is written with percent signs may be any name.
_SECRETS = (b"token", b"ticket", b"code", b"secret", b"key", b"%")
_OF_BROWSERS = frozenset({b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"cookie", b"upgrade"})
_OF_CONTENT = frozenset({b"content-length", b"transfer-encoding", b"expect"})
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+")


def redirected(head: RequestHead, owner: Owner) -> OwnAnswer | None:
    """Return the redirect to the owner; None if the request is passed on.

    Args:
        head: A request of the API whose host was checked.
        owner: Another node.
    """
    path, _, query = head.target.partition(b"?")
    names = {name for name, value in head.fields if name not in _OF_CONTENT or value != b"0"}
    if _PUBLIC_URL.fullmatch(owner.public_url) is None or not path.startswith(b"/api/"):
        return None
    if b"authorization" not in names or names & (_OF_BROWSERS | _OF_CONTENT):
        return None
    parameters = [one.partition(b"=")[0].lower() for one in query.split(b"&")]
    if HOP in query or any(word in name for name in parameters for word in _SECRETS):
        return None
    hop = HOP + b"=1"
    location = b"%b%b?%b" % (owner.public_url.encode(), path, query + b"&" + hop if query else hop)
    fields = [
        (b"location", location),
        (OWNER_FIELD, owner.node.encode("latin-1", "replace")),
        (b"cache-control", b"no-store"),
    ]
    return OwnAnswer(307, fields, b"")
