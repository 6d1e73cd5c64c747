"""Tell by its name what a command does to a database, and collect the steps that a plan gets from commands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from preview.detection.plan import Step

INIT: Final = "init"
"""Name of a step that makes tables by a command of the project."""
SEED: Final = "seed"
"""Name of a step that fills tables with data."""

BUILD: Final = "build"
MAKE_MIGRATIONS: Final = "makemigrations"
"""Name of the step that makes Django's missing migrations."""

COLLECT_STATIC: Final = "static files"
"""Name of the step that collects Django's static files."""

_NOUN = r"(?:the_?)?(?:all_?)?(?:database|databases|db|dbs|tables?|schema|sqlite|models)"
_VERB = r"(?:init|initiali[sz]e|create|setup|set_up|make|build|bootstrap|prepare|migrate|upgrade|sync|push|provision)"
_SEEDS: Final = re.compile(
    r"(?:^|_)(?:seed|seeds|seeder|seeders|seeding|populate|prepopulate|fixtures?)(?:_|$)|seed_?(?:db|data|database)|populate"
    r"|(?:load|insert|add|create|import|generate|init|initial|sample|demo|dummy|fake|mock|default|test)_?"
    r"(?:sample|demo|initial|dummy|fake|mock|default|test)?_?data(?:_|$)|load_?fixtures|loaddata|seed"
    r"|fill_?(?:db|database|tables)|(?:create|add|load|insert)_?(?:sample|demo|initial|dummy|default)"
)
_INITS: Final = re.compile(
    rf"(?:^|_){_VERB}_?{_NOUN}(?:_|$)|^(?:add|create|make)_[a-z0-9_]{{1,40}}_tables?$|(?:^|_)(?:db|database|tables|schema)_?{_VERB}(?:_|$)|^(?:initdb|createdb|dbinit)$"
    # Not "db:generate", which writes Drizzle's migrations, nor "generate-db-types".
    r"|^gen(?:erate)?_?(?:the_?)?(?:db|database)$"
    rf"|^migrate(?:_(?:latest|up|deploy|dev|run))?$|^(?:prisma|knex|drizzle|sequelize|typeorm|orm|mikro_orm)_{_VERB}(?:_|$)"
)
_OTHERS: Final = re.compile(
    r"(?:^|_)(?:test|tests|drop|delete|clear|remove|clean|undo|rollback|revert|down|prod|production|deploy_prod|backup|dump"
    r"|export|status|studio|revision|makemigrations?|generate_migrations?|create_migrations?|make_migrations?|docker"
    r"|remote|staging|live|unseed|wait|check|pull|up_all|shell|console|reset|recreate|destroy|wipe|nuke|fresh|flush|purge"
    r"|truncate|e2e|ci|worker|watch)(?:_|$)"
)
# Words of arguments
_REFUSED: Final = frozenset(
    {"help", "version", "reset", "delete", "drop", "destroy", "down", "undo", "flush", "clear", "wipe", "rollback",
     "revert", "purge", "prod", "production", "staging", "live"}
)  # fmt: skip
_MAX_STEPS: Final = 4


@dataclass(frozen=True, slots=True)
class StepWork:
    """Steps that a plan gets, and sentences about commands that are left out.

    Attributes:
        steps: In the order in which they run.
    """

    steps: tuple[Step, ...] = ()
    decisions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def purpose(name: str) -> str | None:
    """Return ``INIT`` or ``SEED`` for the name of a command, script or file; None for other purposes."""
    plain = _plain(name)
    if _OTHERS.search(plain):
        return None
    if _INITS.search(plain):
        return INIT
    return SEED if _SEEDS.search(plain) else None


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps once each, those that make tables first; a few of each purpose."""
    once = {_target(step): step for step in reversed(list(steps))}
    unique = list(reversed(once.values()))
    inits = [step for step in unique if step.name != SEED][:_MAX_STEPS]
    return (*inits, *[step for step in unique if step.name == SEED][:_MAX_STEPS])


def left_out(step: Step, server: str) -> str:
    """Return the sentence about a step that would write to a server."""
    return f"`{' '.join(step.argv)}` is not run: it writes to {server}, which is not the preview's own"


def is_other(name: str) -> bool:
    """Return true if the name tells a purpose that no step has: ``drop``, ``test``, ``production``."""
    return bool(_OTHERS.search(_plain(name)))


def is_literal(words: Iterable[str]) -> bool:
    """Return true if each word can be run as it is: no placeholder, variable or redirection.

    A word that asks for help, destroys data or means another machine is refused too (``--reset``, ``--env prod``).
    """
    words = tuple(words)
    if words[:1] in {("-d",), ("-h",)} or any(re.search(r"[<>$*{}\[\]`|;]|\.\.\.|…|://", word) for word in words):
        return False
    return not any(_REFUSED.intersection(re.split(r"[^a-z]+", word.lower())) for word in words)


def _plain(name: str) -> str:
    """Return the name in snake case."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name[:100]).lower()).strip("_")


def _target(step: Step) -> tuple[str, ...]:
    """Return what the step runs, without options: ``python seed.py --count 5`` and ``python -m seed`` are the same."""
    words = list(step.argv)
    if words[:2] == ["python", "-m"] and len(words) > 2:
        words[1:3] = [words[2].replace(".", "/") + ".py"]
    end = next((at for at, word in enumerate(words) if at > 1 and word.startswith("-")), len(words))
    return tuple(words[:end])
