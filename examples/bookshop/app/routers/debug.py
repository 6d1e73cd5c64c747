"""Routes that make the log interesting."""

import logging

from fastapi import APIRouter

logger = logging.getLogger("bookshop.debug")
router = APIRouter(prefix="/debug", tags=["debug"])


@router.get("/log")
def write_log(message: str = "hello from the bookshop") -> dict[str, int]:
    """Say one line at each level."""
    levels = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
    for level in levels:
        logger.log(level, "%s", message)
    print(f"plain output: {message}", flush=True)
    return {"lines": len(levels) + 1}


def divide(prices: int, shelves: int) -> float:
    return prices / shelves


@router.get("/error")
def raise_error() -> dict[str, float]:
    """Raise, so that a traceback is printed."""
    return {"average": divide(42, 0)}
