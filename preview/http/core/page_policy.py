"""The Content-Security-Policy of our own pages.

Public previews have addresses below the pages' own origin (``/p/preview_…/``), so ``'self'`` would let injected markup
load their scripts and styles. A nonce (CSP3 section 7.1) is good for one answer, and markup cannot guess it.
"""

from __future__ import annotations

import secrets

# CSP3 section 7.1 asks for at least 128 bits.
_NONCE_BYTES = 18


def new_nonce() -> str:
    """A nonce for one answer; its characters need no escape in HTML or in a header."""
    return secrets.token_urlsafe(_NONCE_BYTES)


def page_policy(nonce: str) -> str:
    """The policy of a page whose own elements carry this nonce.

    Scripts may load further parts of the page (``'strict-dynamic'``); pictures are ``data:``; requests go to our own
    origin. Nobody may frame the page, and it frames nothing but documents of its own making (``srcdoc``).
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
