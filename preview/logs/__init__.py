"""Output of previews, from bytes to numbered lines: backlog, subscribers, database."""

from preview.logs.delivery.backlog import Cursor, Feed
from preview.logs.delivery.fanout import FanOut, Member
from preview.logs.delivery.history import History
from preview.logs.delivery.log_pages import LogPager, LogSlice, Range
from preview.logs.delivery.replica import LogReplica
from preview.logs.delivery.subscription import Subscription
from preview.logs.model.batch import Batch
from preview.logs.model.encode import (
    KEEP_ALIVE,
    PREAMBLE,
    Received,
    StreamEncoder,
    encode,
    encode_found,
    expired,
    messages,
    progress,
)
from preview.logs.model.encoding import Encoding, Format
from preview.logs.model.events import Contract, End, Event, Gap, Level, LogLine, Source, StatusChange
from preview.logs.model.filtering import EVERYTHING, LineFilter
from preview.logs.pipeline import PreviewLog
from preview.logs.storage.journal import Journal, journal_folder, open_journal
from preview.logs.storage.searching import Page
from preview.logs.storage.store import LogStore, recover_lines
from preview.logs.storage.writer import LogWriter, run_log_writer

__all__ = [
    "EVERYTHING",
    "KEEP_ALIVE",
    "PREAMBLE",
    "Batch",
    "Contract",
    "Cursor",
    "Encoding",
    "End",
    "Event",
    "FanOut",
    "Feed",
    "Format",
    "Gap",
    "History",
    "Journal",
    "Level",
    "LineFilter",
    "LogLine",
    "LogPager",
    "LogReplica",
    "LogSlice",
    "LogStore",
    "LogWriter",
    "Member",
    "Page",
    "PreviewLog",
    "Range",
    "Received",
    "Source",
    "StatusChange",
    "StreamEncoder",
    "Subscription",
    "encode",
    "encode_found",
    "expired",
    "journal_folder",
    "messages",
    "open_journal",
    "progress",
    "recover_lines",
    "run_log_writer",
]
