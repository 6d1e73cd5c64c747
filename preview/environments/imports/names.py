"""Import names and the packages that provide them, read from ``names.toml``, which describes its tables."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

_TABLES: Final = tomllib.loads((files(__package__) / "names.toml").read_text("utf-8"))
DISTRIBUTIONS: Final[dict[str, str]] = _TABLES["distributions"]
DRIVERS: Final[dict[str, str]] = _TABLES["drivers"]
FEATURES: Final[dict[tuple[str, ...], str]] = {tuple(key.split(":")): name for key, name in _TABLES["features"].items()}
INSTEAD: Final[dict[tuple[str, ...], str]] = {tuple(key.split(":")): name for key, name in _TABLES["instead"].items()}
NEEDS: Final[dict[str, list[str]]] = _TABLES["needs"]
ALTERNATIVES: Final[dict[str, list[str]]] = _TABLES["alternatives"]
BROUGHT_ALONG: Final[dict[str, list[str]]] = _TABLES["brought_along"]
# Names that projects give to their own modules: an index package of the same name is unrelated.
OWN_NAMES: Final = frozenset(
    """api app application apps auth backend base client common conf config configs configuration constants core crud
    dashboard data database databases_config db dependencies deps dev entities env errors exceptions extensions factory
    forms handlers helper helpers home init initialize instance internal lib libs local_settings logger logging_config
    main manage middleware middlewares migrations mock model models modules my_app my_project myapp mysite myproject
    package paths pipeline plugins private prod product products project resources repository repositories requirements
    router routers routes run schema schemas scripts secret secrets_config security seed serializers server service
    services session settings setup shared shop site src start static store tasks task templates test tests tools types_
    urls user users util utility utils validators version views web wsgi asgi worker workers blueprints controllers
    controller dao domain dto features hooks infrastructure integrations interfaces jobs mixins permissions prompts
    signals storage utilities values""".split()  # noqa: SIM905  a table is easier to read this way
)

# Packages after which projects name modules of their own: `adapters/redis.py` imports the package, not itself.
WELL_KNOWN: Final = frozenset(
    """aiohttp alembic anthropic asyncpg boto3 bottle celery dishka django docker elasticsearch falcon fastapi flask
    granian graphene gunicorn httpx jinja2 jwt kafka langchain litestar loguru minio mongoengine motor nats
    numpy openai pandas passlib peewee pika prometheus_client psycopg psycopg2 pydantic pymongo quart redis
    requests sanic sendgrid sentry_sdk slack_sdk sqlalchemy sqlmodel starlette strawberry stripe structlog telegram
    telethon tornado tortoise twilio uvicorn""".split()  # noqa: SIM905  a table is easier to read this way
)


def distribution_of(module: str) -> tuple[str, str]:
    """Return the part of a dotted name that identifies its package (``google.cloud.storage``), and the package."""
    parts = module.split(".")
    for count in range(len(parts), 1, -1):
        head = ".".join(parts[:count])
        if head in DISTRIBUTIONS:
            return head, DISTRIBUTIONS[head]
    return parts[0], DISTRIBUTIONS.get(parts[0], parts[0].replace("_", "-"))


def is_known_module(module: str) -> bool:
    """Return whether the module's package is in the tables here, and is not guessed from its name."""
    return module.partition(".")[0] in WELL_KNOWN or distribution_of(module)[0] in DISTRIBUTIONS


def named_after(module: str, names: Iterable[str]) -> str | None:
    """Return the only package for Django that ends with an unknown module's name: ``django-simple-captcha``.

    Args:
        module: A module, of which a package's name would only be guessed.
        names: Normalised names of packages.
    """
    if is_known_module(module):
        return None
    end = f"-{canonicalize_name(module.partition('.')[0])}"
    found = [name for name in names if name.startswith("django-") and name.endswith(end)]
    return found[0] if len(found) == 1 else None


# As in `google.cloud.storage`: deeper names do not distinguish packages.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Offered:
    """The modules and packages that an environment provides.

    Attributes:
        modules: Dotted names that can be imported, up to three parts deep.
        distributions: Normalised names of packages.
    """

    modules: frozenset[str]
    distributions: frozenset[str]

    def has(self, module: str, distribution: str) -> bool:
        """Return whether the module can be imported; if ``module`` is empty, whether the package is installed."""
        if module:
            return module in self.modules
        return canonicalize_name(re.split(r"[\[<>=!~ ]", distribution)[0]) in self.distributions


def read_offered(environment: Path) -> Offered:
    """Return the modules and packages in an environment's folder. Call it in a thread."""
    modules: set[str] = set()
    distributions: set[str] = set()
    for folder in sorted(environment.glob("lib/python*/site-packages")):
        for info in folder.glob("*.dist-info"):
            distributions.add(canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0]))
            try:
                record = (info / "RECORD").read_text("utf-8", "replace")
            except OSError:
                continue
            for line in record.splitlines():
                modules.update(_modules(line.partition(",")[0].strip('"')))
    return Offered(frozenset(modules), frozenset(distributions))


def _modules(path: str) -> Iterator[str]:
    parts = path.split("/")
    if parts[0].endswith((".dist-info", ".data")) or parts[0] in {"..", "__pycache__", "bin"}:
        return
    *folders, name = parts
    for count in range(1, min(len(folders), _DEPTH) + 1):
        yield ".".join(folders[:count])
    if name.endswith((".py", ".so", ".pyd")) and len(folders) < _DEPTH:
        yield ".".join([*folders, name.partition(".")[0]])
