"""Templates for a project's process: which modules a template imports, and who may share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from preview.detection import Server, ServiceKind
from preview.environments import Environment
from preview.runtime import ProcessSpec, Runtime, WarmStart, limits_of
from preview.settings import Settings
from preview.supervisor.launch.command import launcher_of
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.steps import readable_in
from preview.supervisor.launch.workspace import workspace_root

log = structlog.get_logger(__name__)

# 64 bits of a hash, appended to the environment's key.
_OWNER_DIGITS: Final = 16

# Modules that launchers and servers import at their start (``serve_asgi.py``, ``preview_serving.py``).
_SERVERS: Final = {
    Server.ASGI: (
        *("uvicorn", "uvicorn.main", "uvicorn.config", "uvicorn.server", "uvicorn.lifespan.on", "uvicorn.loops.auto"),
        *("uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "uvicorn.loops.asyncio"),
        *("uvicorn.middleware.proxy_headers", "uvicorn.middleware.message_logger", "uvicorn.logging"),
        *("asyncio", "logging.config", "encodings.idna", "h11", "concurrent.futures.thread"),
        # Imported by the first request that is handled in a thread.
        *("anyio._backends._asyncio", "anyio.to_thread", "anyio.streams.memory"),
    ),
    Server.WSGI: ("waitress", "waitress.server", "waitress.channel", "waitress.task", "logging.config"),
    Server.DJANGO: (
        *("waitress", "waitress.server", "waitress.channel", "waitress.task", "logging.config"),
        *("django.core.servers.basehttp", "django.core.wsgi"),
    ),
}
# Only modules of Django that can be imported without settings: models, their forms, and all modules that read a setting
# belong to the project. Also modules that templates, forms and the admin import at their first use.
_DJANGO: Final = (
    *("django", "django.apps", "django.conf.locale.en.formats", "django.core.management", "django.core.handlers.wsgi"),
    *("django.core.handlers.asgi", "django.core.mail", "django.core.paginator", "django.core.serializers.json"),
    *("django.core.checks.security.csrf", "django.core.cache.backends.locmem", "django.core.files.storage"),
    *("django.core.files.uploadhandler", "django.core.signing", "django.core.validators"),
    *("django.db.models", "django.db.models.sql.compiler", "django.db.models.functions", "django.db.migrations.state"),
    *("django.db.backends.sqlite3.base", "django.db.migrations.operations", "django.urls", "django.http"),
    *("django.forms", "django.forms.models", "django.forms.formsets", "django.shortcuts", "django.utils.autoreload"),
    *("django.template", "django.template.backends.django", "django.template.defaulttags", "django.template.response"),
    *("django.template.loader_tags", "django.template.defaultfilters", "django.templatetags.static"),
    *("django.templatetags.i18n", "django.templatetags.l10n", "django.templatetags.cache", "django.templatetags.tz"),
    *(
        "django.template.context_processors",
        "django.template.loaders.app_directories",
        "django.template.loaders.cached",
    ),
    *("django.middleware.cache", "django.middleware.clickjacking", "django.middleware.common"),
    *("django.middleware.csrf", "django.middleware.security", "django.middleware.locale", "django.middleware.gzip"),
    *("django.utils.log", "django.utils.translation.trans_real", "django.utils.translation.reloader"),
    *("django.views.debug", "django.views.generic", "django.views.i18n", "django.views.static", "django.views.csrf"),
    *("django.contrib.admin.options", "django.contrib.admin.apps", "django.contrib.admin.checks"),
    *("django.contrib.admin.views.main", "django.contrib.admin.templatetags.admin_list"),
    *("django.contrib.auth.apps", "django.contrib.auth.checks", "django.contrib.auth.hashers"),
    *("django.contrib.auth.decorators", "django.contrib.auth.management", "django.contrib.auth.password_validation"),
    *("django.contrib.auth.context_processors", "django.contrib.auth.tokens", "django.contrib.contenttypes.apps"),
    *("django.contrib.contenttypes.management", "django.contrib.messages.apps", "django.contrib.messages.middleware"),
    *("django.contrib.messages.storage.fallback", "django.contrib.messages.context_processors"),
    *("django.contrib.sessions.apps", "django.contrib.sessions.middleware", "django.contrib.sessions.backends.base"),
    *("django.contrib.staticfiles.apps", "django.contrib.staticfiles.handlers", "django.contrib.staticfiles.finders"),
    *("django.contrib.staticfiles.storage", "django.contrib.staticfiles.views"),
)
_FRAMEWORKS: Final = {
    "fastapi": ("fastapi", "fastapi.openapi.utils", "fastapi.openapi.docs", "pydantic", "starlette.middleware.errors"),
    "starlette": ("starlette.applications", "starlette.routing", "starlette.responses"),
    "flask": ("flask", "flask.json.provider", "flask.sessions", "flask.templating", "jinja2", "werkzeug.debug"),
    "django": _DJANGO,
}
# Frameworks load drivers by name, so no file of the project imports them. psycopg alone takes 90 ms. Those that are not
# installed cost nothing.
_DRIVERS: Final = {
    ServiceKind.POSTGRESQL: (
        *("psycopg", "psycopg2", "asyncpg", "sqlalchemy.dialects.postgresql", "django.db.backends.postgresql.base"),
    ),
    ServiceKind.MYSQL: (
        *("MySQLdb", "pymysql", "aiomysql", "asyncmy", "mysql.connector", "sqlalchemy.dialects.mysql"),
        "django.db.backends.mysql.base",
    ),
}


@dataclass(frozen=True, slots=True)
class Whose:
    """Owner and project of a start.

    Attributes:
        user_id: The owner.
        project_id: The project's id, unique within its owner.
    """

    user_id: str
    project_id: str


def template_key(environment: Environment, whose: Whose) -> str:
    """Return the key of an environment's template. Forks share all state that the template's imports have created.

    All projects with the same packages of an index share a template. Own packages limit it to the owner's project.
    """
    if not environment.is_own:
        return environment.key
    digest = hashlib.sha256(json.dumps([whose.user_id, whose.project_id]).encode()).hexdigest()
    return f"{environment.key}-{digest[:_OWNER_DIGITS]}"


def warm_start(
    settings: Settings, analysis: ProjectAnalysis, environment: Environment, whose: Whose, tell: Callable[[str], None]
) -> WarmStart | None:
    """Return how to fork the project's process from a template; None if this kind of application has none.

    Args:
        settings: The service's settings.
        analysis: Analysis of the project.
        environment: Environment of the process.
        whose: Owner and project.
        tell: See ``WarmStart``.
    """
    plan, launcher = analysis.plan, launcher_of(analysis.plan)
    if not settings.warm_templates or launcher is None:
        return None
    return WarmStart(
        key=template_key(environment, whose),
        launcher=launcher,
        modules=(
            *(*_SERVERS[plan.server], *_FRAMEWORKS.get(plan.framework, ()), *analysis.imports),
            *(name for need in plan.services for name in _DRIVERS.get(need.kind, ()) if _top(name) not in analysis.own),
        ),
        own=analysis.own,
        anchors=(workspace_root(settings).absolute(), settings.resolved_db_path.absolute()),
        tell=tell,
    )


def _top(module: str) -> str:
    return module.partition(".")[0]


def prepare_template(
    settings: Settings,
    runtime: Runtime,
    analysis: ProjectAnalysis,
    environment: Environment,
    project: Path,
    whose: Whose,
) -> None:
    """Request a template for an environment, before any launch in it. Returns at once."""
    warm = warm_start(settings, analysis, environment, whose, tell=log.debug)
    if warm is not None:
        runtime.prepare(template_spec(settings, environment, project, warm))


def template_spec(settings: Settings, environment: Environment, project: Path, warm: WarmStart) -> ProcessSpec:
    """Return the template's spec: the part of a process's spec that depends only on the environment."""
    return ProcessSpec(
        preview_id="template",
        argv=[str(environment.program), str(warm.launcher)],
        directory=project,
        environment={},
        listener=None,
        limits=limits_of(settings),
        readable=readable_in(environment),
        warm=warm,
    )
