"""Templates for a project's process: the modules that one has to have imported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from preview.detection import Server
from preview.environments import Environment
from preview.runtime import ProcessSpec, Runtime, WarmStart
from preview.settings import Settings
from preview.supervisor.launch.command import launcher_of
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.steps import readable_in
from preview.supervisor.launch.workspace import workspace_root
from preview.supervisor.preview.confinement import limits_of

log = structlog.get_logger(__name__)

# 64 bits of a hash, beside those of the environment.
_OWNER_DIGITS: Final = 16

# What launchers load by themselves, and servers only when they start (``serve_asgi.py``, ``preview_serving.py``).
_SERVERS: Final = {
    Server.ASGI: (
        *("uvicorn", "uvicorn.main", "uvicorn.config", "uvicorn.server", "uvicorn.lifespan.on", "uvicorn.loops.auto"),
        *("uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "uvicorn.loops.asyncio"),
        *("uvicorn.middleware.proxy_headers", "uvicorn.middleware.message_logger", "uvicorn.logging"),
        *("asyncio", "logging.config", "encodings.idna", "h11", "concurrent.futures.thread"),
        # Loaded by the first request that is answered in a thread.
        *("anyio._backends._asyncio", "anyio.to_thread", "anyio.streams.memory"),
    ),
    Server.WSGI: ("waitress", "waitress.server", "waitress.channel", "waitress.task", "logging.config"),
    Server.DJANGO: (
        *("waitress", "waitress.server", "waitress.channel", "waitress.task", "logging.config"),
        *("django.core.servers.basehttp", "django.core.wsgi"),
    ),
}
# Of Django only what can be imported before there are settings: models, their forms, and all that asks for a setting on
# its way belong to the project. What templates, forms and the admin load when they are first used is here too.
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


@dataclass(frozen=True, slots=True)
class Whose:
    """The owner's project that is started.

    Attributes:
        user_id: Who owns it.
        project_id: Its name among this owner's.
    """

    user_id: str
    project_id: str


def template_key(environment: Environment, whose: Whose) -> str:
    """Names the template of an environment: what the template imports has run in each fork of it.

    Packages of an index are shared by all who require them. Others are for this owner's project alone.
    """
    if not environment.is_own:
        return environment.key
    digest = hashlib.sha256(json.dumps([whose.user_id, whose.project_id]).encode()).hexdigest()
    return f"{environment.key}-{digest[:_OWNER_DIGITS]}"


def warm_start(
    settings: Settings, study: ProjectAnalysis, environment: Environment, whose: Whose, tell: Callable[[str], None]
) -> WarmStart | None:
    """Return facts to fork a project's process; None if this kind has no templates.

    Args:
        settings: The service's.
        study: Of the project.
        environment: What it runs in.
        whose: Whose project it is.
        tell: See ``WarmStart``.
    """
    plan, launcher = study.plan, launcher_of(study.plan)
    if not settings.warm_templates or launcher is None:
        return None
    return WarmStart(
        key=template_key(environment, whose),
        launcher=launcher,
        modules=(*_SERVERS[plan.server], *_FRAMEWORKS.get(plan.framework, ()), *study.imports),
        own=study.own,
        anchors=(workspace_root(settings).absolute(), settings.resolved_db_path.absolute()),
        tell=tell,
    )


def prepare_template(
    settings: Settings, runtime: Runtime, study: ProjectAnalysis, environment: Environment, project: Path, whose: Whose
) -> None:
    """Have a template made of an environment, before anything is launched in it. Returns at once."""
    warm = warm_start(settings, study, environment, whose, tell=log.debug)
    if warm is not None:
        runtime.prepare(template_spec(settings, environment, project, warm))


def template_spec(settings: Settings, environment: Environment, project: Path, warm: WarmStart) -> ProcessSpec:
    """Return the template's spec: the parts of a start that belong to its environment."""
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
