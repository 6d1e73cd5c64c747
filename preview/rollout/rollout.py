"""The flags of a running service: in memory, with one row each in the database."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import structlog
import trio
from sqlalchemy import Connection, select, update

from preview.core.clock import now_ms
from preview.errors import DatabaseUnavailable, InvalidRequest
from preview.people_errors import ContractNotOffered, FlagChanged, IsolationBelowMinimum, LaunchesStopped
from preview.rollout.choices import NO_CHOICES, Choices
from preview.rollout.decision import Subject, decide
from preview.rollout.flags import OF_LAUNCHES, Flag, FlagName, read_flag
from preview.rollout.offers import offers, raised
from preview.settings import Settings
from preview.storage import Database
from preview.storage.people_tables import rollout_flags
from preview.storage.tables import projects, users
from preview.storage.users import UserStore, ensure_row

log = structlog.get_logger(__name__)

REFRESH_S: Final = 5.0
"""Longest time until a change by another process of the same database applies here, beside the database's own time."""
MOST_COUNTED: Final = 20_000
"""Users, and projects, that a dry run counts."""
# Fifty rules with five hundred ids of 128 characters; see ``flags``.
_MOST_CONTENT = 8 * 1024 * 1024
_C = rollout_flags.c


@dataclass(frozen=True, slots=True)
class Reach:
    """The users whom a flag would concern.

    Attributes:
        users: Users that were counted.
        by_value: Number of users who would get each value; one with several projects may count for several.
        is_whole: False if there are more users or projects than ``MOST_COUNTED``.
    """

    users: int
    by_value: Mapping[str, int]
    is_whole: bool


class Rollout:
    """The flags. Decisions are synchronous, and use what is in memory.

    A change applies in this process at once. ``run`` reads the changes of other processes each ``REFRESH_S`` seconds.
    While the database is away, or if a row cannot be read, the last known flag stays.

    Args:
        database: The service's database; None: no flag can be set.
        settings: The service's settings.
        level: Name of the runtime that launches get without a flag.
        further: Names of the other runtimes that launches may get.

    Attributes:
        offers: Values of each flag.
        problems: A sentence for each flag whose row cannot be read.
    """

    def __init__(
        self, database: Database | None, settings: Settings, level: str, further: Collection[str] = ()
    ) -> None:
        self._database = database
        self._settings = settings
        self.offers = offers(settings, level, further)
        self.problems: dict[FlagName, str] = {}
        self._flags = {name: Flag(name) for name in FlagName}
        self._is_away = False

    # Decisions

    def flag(self, name: FlagName) -> Flag:
        """Return a flag as it is now."""
        return self._flags[name]

    def value(self, name: FlagName, subject: Subject) -> str:
        """Return the flag's value for one subject."""
        return self._decide(self._flags[name], subject)

    def _decide(self, flag: Flag, subject: Subject) -> str:
        offer = self.offers[flag.name]
        return decide(flag, subject, offer.default, offer.values)

    def choose(self, subject: Subject) -> Choices:
        """Return the choices for a launch.

        Raises:
            LaunchesStopped: The kill switch refuses launches of this subject.
            IsolationBelowMinimum: The service does not have the least isolation level of the subject's tier.
        """
        if self.value(FlagName.LAUNCHES, subject) == "off":
            raise _stopped(self._flags[FlagName.LAUNCHES].reason)
        level = self._level(subject)
        if level == self.offers[FlagName.ISOLATION].default and all(self._flags[one].is_default for one in OF_LAUNCHES):
            return NO_CHOICES
        values = {name: self.value(name, subject) for name in OF_LAUNCHES} | {FlagName.ISOLATION: level}
        return Choices(values, {name: self.offers[name].default for name in OF_LAUNCHES})

    def _level(self, subject: Subject) -> str:
        least = self._settings.least_isolation(subject.tier)
        offered = self.offers[FlagName.ISOLATION].values
        return raised(self.value(FlagName.ISOLATION, subject), least, offered, subject.tier)

    def tell_refused_tiers(self) -> None:
        """Log each tier whose launches this service refuses, because it lacks the tier's least isolation level."""
        for tier, least in self._settings.isolation_minimum:
            try:
                self._level(Subject("", tier))
            except IsolationBelowMinimum:
                offered = ", ".join(self.offers[FlagName.ISOLATION].values)
                log.warning("isolation below minimum", tier=tier, minimum=least, offered=offered)

    def check_level(self, subject: Subject, level: str) -> None:
        """Check that a subject may have this isolation level, which neither settings nor flags change.

        Raises:
            IsolationBelowMinimum: It is below the minimum of the subject's tier.
        """
        raised(level, self._settings.least_isolation(subject.tier), (level,), subject.tier)

    async def check_contract(self, user_id: str, tier: str | None, project_id: str) -> None:
        """Check that a user may use the contract `plan`.

        Raises:
            ContractNotOffered: The flag `contract` gives only `v1`.
            DatabaseUnavailable: The user's tier cannot be read.

        Cancellation: nothing changes.
        """
        if self._flags[FlagName.CONTRACT].is_default:
            return
        subject = await self.subject(user_id, tier, project_id)
        if self.value(FlagName.CONTRACT, subject) == "v1":
            raise ContractNotOffered(
                "This form of the API is switched off for you; use the routes below /api/v1 (docs/api.md)."
            )

    async def subject(self, user_id: str, tier: str | None, project_id: str) -> Subject:
        """Return the subject of a decision, with the tier of the users table where the token has none.

        Raises:
            DatabaseUnavailable: The tier cannot be read.

        Cancellation: nothing changes.
        """
        if tier is None and self._database is not None:
            tier = await UserStore(self._database).tier(user_id)
        return Subject(user_id, tier or "free", project_id)

    # Changes

    async def change(
        self, name: FlagName, content: Mapping[str, Any], *, expected: int | None, user_id: str
    ) -> tuple[Flag, Flag]:
        """Change a flag; return it as it was, and as it is.

        Args:
            name: The flag.
            content: See ``Flag.content``.
            expected: The version that the caller has seen; None: any.
            user_id: The operator.

        Raises:
            InvalidRequest: The content is wrong, or a value is not offered here.
            FlagChanged: Another operator has changed it meanwhile; ``details`` has the version.

        Cancellation: changed or not.
        """
        wanted = read_flag(name, content, self.offers[name])
        before, after = await self._require().write(partial(_change, wanted, expected, user_id))
        self._take(after)
        return before, after

    def _take(self, flag: Flag) -> None:
        """Keep a flag unless a newer one is known: a read may end after a later change."""
        if flag.version >= self._flags[flag.name].version:
            self._flags[flag.name] = flag
            self.problems.pop(flag.name, None)

    def _require(self) -> Database:
        if self._database is None:
            raise InvalidRequest("This service has no database for flags.")
        return self._database

    # Reads

    async def refresh(self) -> None:
        """Read all rows. A row that cannot be read leaves the flag as it is, and is reported once.

        Raises:
            DatabaseUnavailable: Nothing changes.

        Cancellation: nothing changes.
        """
        rows = await self._require().read(_rows)
        for row in rows:
            if row.name not in list(FlagName):
                continue
            try:
                self._take(_flag_of(row))
            except (InvalidRequest, ValueError) as error:
                name = FlagName(row.name)
                if name not in self.problems:
                    log.warning("flag not readable", flag=name.value, why=str(error), used="the last known values")
                self.problems[name] = "The stored flag cannot be read; the last known values apply. Set it again."

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the rows now and each ``REFRESH_S`` seconds, until cancelled. Cancellation: nothing is left."""
        await self._try_refresh()
        task_status.started()
        while True:
            await trio.sleep(REFRESH_S)
            await self._try_refresh()

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
            self._is_away = False
        except DatabaseUnavailable as error:
            if not self._is_away:
                log.warning("flags not read", reason=error.message, used="the last known values")
            self._is_away = True
        except Exception:
            # An error that leaves this task would end the service.
            log.exception("flags not read")

    async def reach(self, flag: Flag) -> Reach:
        """Count the users for each value that a flag would give. Cancellation: nothing changes."""
        people, owned = await self._require().read(_subjects)
        projects_of: dict[str, list[str]] = {}
        for user_id, project_id in owned:
            projects_of.setdefault(user_id, []).append(project_id)
        count = partial(self._count, flag, [(row[0], row[1]) for row in people], projects_of)
        by_value = await trio.to_thread.run_sync(count)
        return Reach(len(people), by_value, len(people) < MOST_COUNTED and len(owned) < MOST_COUNTED)

    def _count(
        self, flag: Flag, people: Collection[tuple[str, str]], projects_of: Mapping[str, list[str]]
    ) -> dict[str, int]:
        counts = dict.fromkeys(self.offers[flag.name].values, 0)
        for user_id, tier in people:
            subjects = [Subject(user_id, tier, project) for project in projects_of.get(user_id, [""])]
            for value in {self._decide(flag, one) for one in subjects}:
                counts[value] += 1
        return counts


def _stopped(reason: str) -> LaunchesStopped:
    said = f": {reason}" if reason else "; try again later."
    return LaunchesStopped(f"The operator has stopped launches{said}", reason=reason or None)


def _rows(connection: Connection) -> list[Any]:
    columns = (_C.name, _C.version, _C.updated_at, _C.updated_by, _C.content)
    return list(connection.execute(select(*columns).limit(len(FlagName) * 4)).all())


def _subjects(connection: Connection) -> tuple[list[Any], list[Any]]:
    newest = select(users.c.id, users.c.tier).order_by(users.c.created_at.desc()).limit(MOST_COUNTED)
    people = connection.execute(newest)
    owned = connection.execute(select(projects.c.user_id, projects.c.id).limit(MOST_COUNTED))
    return list(people.all()), list(owned.all())


def _flag_of(row: Any) -> Flag:
    """Return a stored flag.

    Raises:
        ValueError, InvalidRequest: The row has been written by something else.
    """
    if len(row.content) > _MOST_CONTENT:
        raise ValueError("it is too long")
    try:
        content = json.loads(row.content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("it is no object")  # noqa: TRY004  all that is wrong with a row is one error
    flag = read_flag(FlagName(row.name), content)
    return replace(flag, version=row.version, updated_at_ms=row.updated_at, updated_by=row.updated_by)


def _change(wanted: Flag, expected: int | None, user_id: str, connection: Connection) -> tuple[Flag, Flag]:
    empty = {"name": wanted.name.value, "version": 0, "updated_at": 0, "updated_by": "", "content": "{}"}
    ensure_row(connection, rollout_flags, empty)
    row = connection.execute(select(rollout_flags).where(_C.name == wanted.name.value).with_for_update()).one()
    if expected is not None and expected != row.version:
        by = f" by {row.updated_by}" if row.updated_by else ""
        raise FlagChanged(
            f"The flag `{wanted.name}` was changed meanwhile{by}: it has version {row.version}, not {expected}. "
            "Read it again, and repeat the change.",
            version=row.version,
        )
    try:
        before = _flag_of(row)
    except (InvalidRequest, ValueError):
        before = Flag(wanted.name, version=row.version)
    after = replace(wanted, version=row.version + 1, updated_at_ms=now_ms(), updated_by=user_id[:128])
    values = {
        "version": after.version,
        "updated_at": after.updated_at_ms,
        "updated_by": after.updated_by,
        "content": json.dumps(after.content()),
    }
    connection.execute(update(rollout_flags).where(_C.name == wanted.name.value).values(values))
    return before, after


def changed_words(before: Flag, after: Flag) -> str:
    """Return the difference for the audit: content before and after, each cut, without ids of users."""
    return f"{_summary(before)} to {_summary(after)}"


def _summary(flag: Flag) -> str:
    if flag.is_default:
        return "default"
    parts = [] if flag.value is None else [flag.value]
    for rule in flag.rules[:5]:
        conditions = [
            f"{len(some)} {name if len(some) > 1 else name[:-1]}"
            for name in ("users", "tiers", "projects")
            if (some := getattr(rule, name))
        ]
        conditions += [] if rule.percent is None else [f"{rule.percent:g} % of {rule.by}s"]
        parts.append(f"{rule.value} for {' and '.join(conditions) or 'all'}")
    more = len(flag.rules) - 5
    return ", ".join(parts) + (f" and {more} more rules" if more > 0 else "")
