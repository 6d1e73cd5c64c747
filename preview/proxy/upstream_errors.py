"""What a broken connection and an answer that is none are called above this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from preview.errors import UpstreamFailed
from preview.proxy.relay import Unclean, UpstreamGone


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the connection as those of the product.

    Raises:
        UpstreamFailed: The preview broke off, or its answer is not HTTP.
    """
    try:
        yield
    except UpstreamGone as error:
        raise UpstreamFailed("The preview closed the connection before its answer was complete.") from error
    except Unclean as error:
        raise UpstreamFailed(
            f"The preview's answer is not HTTP, or not written by its rules (RFC 9112): {error}."
        ) from error
