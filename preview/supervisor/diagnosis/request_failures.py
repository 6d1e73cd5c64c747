"""Explain why requests to a running preview fail: each cause once, as a line of the request whose errors show it.

The lines of errors are read as they are published, so that a preview that prints no errors costs nothing. A program may
print errors without end: the looks are paced, each reads a bounded number of lines, and only a few causes are logged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from preview.detection import COLLECT_STATIC, INIT, MAKE_MIGRATIONS, StartPlan, Toolchain, Variable
from preview.logs import Level
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import MARKS, LogLine, Source
from preview.supervisor.diagnosis.diagnose import COLOURS, diagnose
from preview.supervisor.diagnosis.diagnose_network import diagnose_network
from preview.supervisor.diagnosis.diagnose_servers import diagnose_server, find_setting, is_about_mail
from preview.supervisor.diagnosis.diagnosis import Diagnosis
from preview.supervisor.diagnosis.logged_errors import spelled_out
from preview.supervisor.diagnosis.needs import explain_blocked
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.network import Reach

# SQLite; PostgreSQL; MySQL; Prisma (P2021)
_MISSING = re.compile(
    r"no such table: (?P<sqlite>[\w.]{1,100})"
    r'|relation "(?P<postgresql>[\w.]{1,100})" does not exist'
    r"|Table '(?P<mysql>[\w.]{1,100})' doesn't exist"
    r"|The table `(?P<prisma>[\w.]{1,100})` does not exist in the current database"
)
# Django's and WhiteNoise's manifest of static files; django-webpack-loader; django-vite
_FILES = re.compile(
    r"Missing staticfiles manifest entry for '(?P<static>[^']{1,200})'"
    r"|Error reading (?P<stats>\S{1,300}) Are you sure webpack has generated"
    r"|DjangoViteAssetNotFoundError(?:.{1,300}? manifest at (?P<manifest>[^\s:]{1,300}))?|WebpackBundleLookupError"
)
_BUILD = "Build it (`npm run build`, `python manage.py tailwind build`) and send the built files along."
_MAX_CHARACTERS = 1000
# A traceback of a web framework through its middleware, with the chain of causes, has 150 lines.
_MAX_LINES = 200
# Until the rest of a traceback is printed.
_REST_S = 0.2
# Between two looks; doubled by each one that tells nothing new. A look at hostile lines takes up to 0.3 s.
_FIRST_PAUSE_S = 1.0
_LAST_PAUSE_S = 30.0
_MOST_TOLD = 10
_NOT_ERRORS = bytes(mark for mark, (level, _) in enumerate(MARKS) if level < Level.ERROR)
_OWN = bytes(mark for mark, (_, source) in enumerate(MARKS) if source in (Source.SYSTEM, Source.SYSTEM_STARTUP))
_MAKES_TABLES = (INIT, "tables", "migrations", MAKE_MIGRATIONS)
# Reasons that explain a failed request. Others, such as a taken port, explain the end of a program.
_OF_REQUESTS = frozenset(
    {"missing_service", "service_refused", "missing_variable", "missing_engine", "missing_module", "wrong_database"}
)
_FRAME = re.compile(
    r'File "(?P<python>[^"]{1,400})", line (?P<line>\d{1,7})|\(?(?P<node>/[^():]{1,400}):(?P<at>\d{1,7}):\d+'
)
_KEY_ERROR = re.compile(r"^KeyError: ")
_ENVIRONMENT = re.compile(r'File "(?:<frozen os>|[^"]{0,300}/os\.py)", line \d+, in __getitem__')
_KEY_LINES = 6


def find_missing_table(lines: Sequence[str]) -> str | None:
    """Return the name of the table that one of these lines names as missing, or None."""
    for line in lines:
        if match := _MISSING.search(line[:_MAX_CHARACTERS]):
            return next(name for name in match.groups() if name)
    return None


def explain_missing_table(name: str, plan: StartPlan) -> str:
    """Return the sentence for the log."""
    steps = [step for step in plan.steps if step.name in _MAKES_TABLES]
    if steps:
        commands = " and ".join(f"`{' '.join(step.argv)}`" for step in steps[:2])
        return f"The database has no table {name!r}. {commands} makes the tables: its output above says what it did."
    if plan.framework == "django":
        command = "python manage.py migrate"
        return f'The database has no table {name!r}. Name the step in preview.toml: [start] steps = ["{command}"].'
    command = "node init_db.js" if plan.toolchain is Toolchain.NODE else "python init_db.py"
    return (
        f"The database has no table {name!r}, and no command that makes the tables was found. Name it in preview.toml: "
        f'[start] steps = ["{command}"].'
    )


def find_missing_files(lines: Sequence[str], plan: StartPlan) -> Diagnosis | None:
    """Explain that static files are not collected, or that a front end is not built; None for other errors."""
    match = next((found for line in reversed(lines) if (found := _FILES.search(line))), None)
    if match is None:
        return None
    if (name := match["static"]) is None:
        name = (match["stats"] or match["manifest"] or "its manifest").rstrip(".")
        message = f"The pages need the built front end ({name}), and nothing has built it. {_BUILD}"
    elif any(step.name == COLLECT_STATIC for step in plan.steps):
        message = f"`collectstatic` found no file {name!r}: the project does not have it, or builds it. {_BUILD}"
    else:
        command = "python manage.py collectstatic --noinput"
        message = f"The static file {name!r} is not collected. Run `{command}` as a step of preview.toml."
    return Diagnosis("unbuilt_files", message, {"file": name})


def lines_by_request(lines: Sequence[LogLine], newest: str | None) -> list[tuple[str | None, list[str]]]:
    """Return the printed lines to be read together, each group with the request that its explanation is about.

    1. At most one request has lines of its own: all lines are one group, of the request ``newest``.
    2. Several have: each request with an error is a group. Lines without a request are one too, of no request.
    """
    printed = [line for line in lines if line.source not in (Source.SYSTEM, Source.SYSTEM_STARTUP)]
    if len({line.request_id for line in printed} - {None}) <= 1:
        return [(newest, [line.message for line in printed])]
    groups: dict[str | None, list[str]] = {line.request_id: [] for line in printed if line.level >= Level.ERROR}
    for line in printed:
        if line.request_id in groups:
            groups[line.request_id].append(line.message)
    return list(groups.items())


def explain_failure(
    lines: Sequence[str], plan: StartPlan, reach: Reach | None = None, folder: Path | None = None
) -> Diagnosis | None:
    """Explain the errors that a running program printed; None if nothing is recognised. Pure.

    Args:
        lines: Its newest lines, oldest first.
        plan: The start plan, which knows the settings of services and databases.
        reach: Network of the preview; None if it is not decided.
        folder: The project's folder, as the program sees it.
    """
    last = spelled_out(lines[-_MAX_LINES:])
    read = _without_own_keys([COLOURS.sub("", line[:_MAX_CHARACTERS]) for line in last])
    variables = list(plan.variables.values())
    found = diagnose(read, plan.services)
    if found is None or found.reason not in _OF_REQUESTS:
        table = find_missing_table(read)
        if table is not None:
            return Diagnosis("missing_table", explain_missing_table(table, plan), {"table": table})
        network = None if reach is None else diagnose_network(read, reach)
        found = _with_setting(network, read, variables) if network is not None else diagnose_server(read, variables)
    elif found.reason == "wrong_database":
        found = _with_stand_in(found, variables)
    found = found or find_missing_files(read, plan)
    if found is None:
        return None
    place = _place(read, folder)
    # Places of services are in their sentences already.
    if place is None or found.details.get("where"):
        return found.in_project(folder)
    return replace(found, message=f"{found.message} The code is in {place}.").in_project(folder)


def _without_own_keys(lines: Sequence[str]) -> list[str]:
    """Leave out errors of the project's own dictionaries, which look like those of missing variables."""
    return [
        line
        for number, line in enumerate(lines)
        if not _KEY_ERROR.match(line)
        or any(_ENVIRONMENT.search(one) for one in lines[max(0, number - _KEY_LINES) : number])
    ]


def _with_stand_in(found: Diagnosis, variables: Sequence[Variable]) -> Diagnosis:
    """Name the variable that holds the address of the SQLite file."""
    holds = ("{database_path}", "{database_url}", "sqlite")
    setting = next((one for one in variables if any(word in one.value for word in holds)), None)
    if setting is None:
        return found
    named = f"{setting.name} ({setting.where})" if setting.where else setting.name
    message = found.message.replace("its database variable", named)
    return replace(found, message=message, details={**found.details, "setting": setting.name})


def _with_setting(found: Diagnosis, lines: Sequence[str], variables: Sequence[Variable]) -> Diagnosis:
    """Name the variable that holds the address which the network blocks."""
    host, port = found.details.get("host"), found.details.get("port")
    address = (str(host), port if isinstance(port, int) else None) if host else None
    setting = find_setting(address, variables, is_mail=is_about_mail(lines))
    if setting is None:
        return found
    source = ", ".join(filter(None, (f"setting {setting.name}", setting.where)))
    message = found.message.replace(", but its network", f" ({source}), but its network", 1)
    return replace(found, message=message, details={**found.details, "setting": setting.name})


def _place(lines: Sequence[str], folder: Path | None) -> str | None:
    """Return file and line of the innermost frame in the project's own code."""
    if folder is None:
        return None
    found = None
    for line in lines:
        for match in _FRAME.finditer(line):
            path = match["python"] or match["node"]
            name = path.removeprefix(f"{folder}/")
            if name == path or "node_modules/" in name or "site-packages/" in name or ".." in name:
                continue
            found = f"{name}:{match['line'] or match['at']}"
            if match["node"]:
                return found  # Node prints the innermost frame first.
    return found


class _Reader:
    """Listener that notices errors which the program prints.

    Attributes:
        noticed: Set when the program has printed an error; the owner replaces it before each look.
        request_id: Request of the newest error that belongs to one.
    """

    watchers = 0

    def __init__(self) -> None:
        self.noticed = trio.Event()
        self.request_id: str | None = None

    def offer(self, event: Received) -> None:
        """Look at the marks of the lines: the service's own errors do not count."""
        if not isinstance(event, Batch) or not event.marks.translate(None, _NOT_ERRORS + _OWN):
            return
        if event.requests is not None:
            self.request_id = event.requests[max(event.requests)]
        # The listener must not publish a line itself.
        self.noticed.set()


def _explain_all(
    groups: Sequence[tuple[str | None, list[str]]], plan: StartPlan, preview: LivePreview
) -> list[tuple[str | None, Diagnosis]]:
    explained = [(whose, explain_failure(lines, plan, preview.reach, preview.directory)) for whose, lines in groups]
    return [(whose, found) for whose, found in explained if found is not None]


async def watch_request_failures(preview: LivePreview, plan: StartPlan) -> None:
    """Log the explanation of each cause once, then return after the last allowed one. Cancellation: nothing changes."""
    reader, told = _Reader(), set[str]()
    since_seq, pause_s = preview.log.last_seq, _FIRST_PAUSE_S
    preview.log.broadcast.add(reader)
    try:
        await preview.settled.wait()
        while len(told) < _MOST_TOLD:
            await reader.noticed.wait()
            await trio.sleep(_REST_S)
            reader.noticed, request_id, reader.request_id = trio.Event(), reader.request_id, None
            lines = [line for line in preview.log.last_lines(_MAX_LINES) if line.seq > since_seq]
            since_seq = preview.log.last_seq
            pause_s = min(pause_s * 2, _LAST_PAUSE_S)
            # In a thread, so that the service goes on meanwhile.
            explain = partial(_explain_all, lines_by_request(lines, request_id), plan, preview)
            for whose, diagnosis in await trio.to_thread.run_sync(explain):
                found = await explain_blocked(preview, diagnosis)
                cause = f"{found.reason} {sorted(found.details.items(), key=str)}"
                if cause not in told and len(told) < _MOST_TOLD:
                    told.add(cause)
                    pause_s = _FIRST_PAUSE_S
                    preview.log.say(found.message, Level.WARNING, whose)
            await trio.sleep(pause_s)
    finally:
        preview.log.broadcast.remove(reader)
