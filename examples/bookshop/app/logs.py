"""The shop's own log: one logger, coloured by level, beside uvicorn's."""

import logging
import sys

COLOURS = {
    "DEBUG": "\x1b[36m",
    "INFO": "\x1b[32m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[1;31m",
}
RESET = "\x1b[0m"


class ColourFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name is the standard library's
        colour = COLOURS.get(record.levelname, "")
        padding = " " * max(0, 8 - len(record.levelname))
        record.__dict__["coloured_level"] = f"{colour}{record.levelname}{RESET}:{padding}"
        return super().formatMessage(record)


def configure_logging(level: str) -> None:
    """Set up the logger ``bookshop``. The root and uvicorn's loggers are left as they are."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ColourFormatter("%(coloured_level)s %(name)s: %(message)s"))
    logger = logging.getLogger("bookshop")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level if level in COLOURS else "INFO")
