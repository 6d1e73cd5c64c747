"""From bytes to lines to numbered events: backlog, subscribers, database."""

from preview.logs.batch import Batch
from preview.logs.encode import EXPIRED, KEEP_ALIVE, PREAMBLE, Received, encode
from preview.logs.events import Contract, End, Event, Gap, Level, LogLine, Source, StatusChange
from preview.logs.history import History, history
from preview.logs.pipeline import PreviewLog
from preview.logs.store import LogStore, Page
from preview.logs.subscription import Subscription
from preview.logs.writer import LogWriter, run_log_writer

__all__ = [
    "EXPIRED",
    "KEEP_ALIVE",
    "PREAMBLE",
    "Batch",
    "Contract",
    "End",
    "Event",
    "Gap",
    "History",
    "Level",
    "LogLine",
    "LogStore",
    "LogWriter",
    "Page",
    "PreviewLog",
    "Received",
    "Source",
    "StatusChange",
    "Subscription",
    "encode",
    "history",
    "run_log_writer",
]
