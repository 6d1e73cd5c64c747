"""Routes of projects' launch settings: variables, secrets, presets."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.auth import Identity
from preview.core.quoting import quoted
from preview.errors import PreviewError, ProjectMismatch, SealedTextUnreadable, SecretNotFound
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.settings.detected import Detected
from preview.http.contracts.settings.launch_settings import (
    ComparedPresets,
    CompareQuery,
    EnvImportBody,
    EnvironmentBody,
    EnvironmentPatch,
    EnvironmentQuery,
    EnvironmentShape,
    ImportedEnv,
    LayerQuery,
    PresetBody,
    PresetList,
    PresetShape,
    RunningShape,
    SecretBody,
    SecretShape,
)
from preview.http.core.answers import json_answer, link, no_content
from preview.http.core.reading import checked_query, etag_of, expected_revision, read_json
from preview.http.core.uploads import open_files
from preview.http.identity import owned_by, require_identity
from preview.launch_settings import (
    MOST_LAYER_BYTES,
    LaunchSettings,
    LayerChange,
    SecretValue,
    StoredSettings,
    parse_env,
)

# JSON may take six bytes for one.
_BODY_BYTES = 8 * MOST_LAYER_BYTES


def environment_routes(running: Running) -> Blueprint:
    """Return the routes of variables and secrets, relative to ``/api/v1/projects/<project_id>``."""
    routes = BackendRoutes("environment", running)

    @routes.get("/environment")
    async def read(backend: Backend, project_id: str) -> Response:
        """Return the launch settings of a project; secrets without their values.

        The `ETag` covers all of them; send it as `If-Match` with a change that builds on what you have read.
        """
        identity, query = await require_identity(backend), checked_query(request, EnvironmentQuery)
        found = await _settings(backend).read(identity.user.id, project_id)
        detected = None
        if query.generation_id is not None:
            detected = await _detected(backend, identity.user.id, project_id, query.generation_id)
        return await _answer(backend, found, detected)

    @routes.put("/environment")
    async def replace(backend: Backend, project_id: str) -> Response:
        """Replace variables and start options of a project or a preset; secrets stay.

        They apply at the next launch or restart.
        """
        identity, query = await _owner(backend, project_id), checked_query(request, LayerQuery)
        body = await read_json(request, EnvironmentBody, limit_bytes=_BODY_BYTES)
        changed = await _settings(backend).change(
            identity.user.id, project_id, query.preset, body.change(), expected_revision(request)
        )
        return await _answer(backend, changed)

    @routes.patch("/environment")
    async def change(backend: Backend, project_id: str) -> Response:
        """Change some variables or start options of a project or a preset, or switch the active preset."""
        identity, query = await _owner(backend, project_id), checked_query(request, LayerQuery)
        body = await read_json(request, EnvironmentPatch, limit_bytes=_BODY_BYTES)
        settings, user_id, layer = _settings(backend), identity.user.id, body.change()
        if layer is None and body.active_preset is None:
            return await _answer(backend, await settings.read(user_id, project_id))
        changed = await settings.change(
            user_id,
            project_id,
            query.preset,
            layer or LayerChange(),
            expected_revision(request),
            switch_to=body.active_preset,
        )
        return await _answer(backend, changed)

    @routes.post("/environment/import")
    async def import_(backend: Backend, project_id: str) -> Response:
        """Set the variables of a `.env` text; names that look like secrets become secrets."""
        identity, query = await _owner(backend, project_id), checked_query(request, LayerQuery)
        body = await read_json(request, EnvImportBody, limit_bytes=_BODY_BYTES)
        settings, user_id = _settings(backend), identity.user.id
        before = (await settings.read(user_id, project_id)).layer(query.preset)
        read = parse_env(body.text, body.secrets)
        # A variable that is a secret already stays one.
        read = read.with_secrets(before.secrets)
        if not body.dry_run:
            change = LayerChange(read.variables, read.secrets)
            await settings.change(user_id, project_id, query.preset, change, expected_revision(request))
        return json_answer(ImportedEnv.of(read, before, applied=not body.dry_run))

    @routes.get("/environment/compare")
    async def compare(backend: Backend, project_id: str) -> Response:
        """Compare two presets; of a secret only whether it differs."""
        identity, query = await require_identity(backend), checked_query(request, CompareQuery)
        found = await _settings(backend).compare(identity.user.id, project_id, query.a, query.b)
        return json_answer(ComparedPresets.of(query, found))

    @routes.get("/secrets/<name>")
    async def secret(backend: Backend, project_id: str, name: str) -> Response:
        """Return whether a secret is set; its value is never returned."""
        identity, query = await require_identity(backend), checked_query(request, LayerQuery)
        layer = (await _settings(backend).read(identity.user.id, project_id)).layer(query.preset)
        if name not in layer.secrets:
            raise SecretNotFound(f"There is no secret {quoted(name)}.")
        return json_answer(SecretShape(name=name, preset=query.preset, is_set=True))

    @routes.put("/secrets/<name>")
    async def set_secret(backend: Backend, project_id: str, name: str) -> Response:
        """Set a secret. It is stored encrypted, and passed to previews alone."""
        identity, query = await _owner(backend, project_id), checked_query(request, LayerQuery)
        body = await read_json(request, SecretBody, limit_bytes=_BODY_BYTES)
        await _settings(backend).change(
            identity.user.id,
            project_id,
            query.preset,
            LayerChange(set_secrets={name: SecretValue(body.value)}),
            expected_revision(request),
        )
        return json_answer(SecretShape(name=name, preset=query.preset, is_set=True))

    @routes.delete("/secrets/<name>")
    async def delete_secret(backend: Backend, project_id: str, name: str) -> Response:
        """Remove a secret."""
        identity, query = await require_identity(backend), checked_query(request, LayerQuery)
        await _settings(backend).remove_secret(identity.user.id, project_id, query.preset, name)
        return no_content()

    return routes


def preset_routes(running: Running) -> Blueprint:
    """Return the routes of presets, relative to ``/api/v1/projects/<project_id>``."""
    routes = BackendRoutes("presets", running)

    @routes.get("/presets")
    async def list_presets(backend: Backend, project_id: str) -> Response:
        """Return the presets of a project, oldest first."""
        identity = await require_identity(backend)
        found = await _settings(backend).read(identity.user.id, project_id)
        return json_answer(
            PresetList(items=[PresetShape.of_settings(found, name) for name in found.presets], next=None)
        )

    @routes.post("/presets")
    async def add_preset(backend: Backend, project_id: str) -> Response:
        """Add a preset: a named set of variables, secrets and start options over the project's own."""
        identity = await _owner(backend, project_id)
        body = await read_json(request, PresetBody, limit_bytes=_BODY_BYTES)
        made = await _settings(backend).add_preset(identity.user.id, project_id, body.name, body.copy_of)
        where = link(f"/api/v1/projects/{project_id}/presets/{body.name}")
        return json_answer(PresetShape.of_settings(made, body.name), 201, {"Location": where})

    @routes.put("/presets/<name>")
    async def replace_preset(backend: Backend, project_id: str, name: str) -> Response:
        """Replace variables and start options of a preset; secrets stay."""
        identity = await _owner(backend, project_id)
        body = await read_json(request, EnvironmentBody, limit_bytes=_BODY_BYTES)
        changed = await _settings(backend).change(
            identity.user.id, project_id, name, body.change(), expected_revision(request)
        )
        return json_answer(PresetShape.of_settings(changed, name), headers={"ETag": etag_of(changed.revision)})

    @routes.delete("/presets/<name>")
    async def delete_preset(backend: Backend, project_id: str, name: str) -> Response:
        """Remove a preset with its secrets; if it is active, none is afterwards."""
        identity = await require_identity(backend)
        await _settings(backend).remove_preset(identity.user.id, project_id, name)
        return no_content()

    return routes


async def _owner(backend: Backend, project_id: str) -> Identity:
    """Return the caller, who owns the project; nothing of the body is read for anyone else.

    Raises:
        Unauthenticated, Forbidden: See ``require_identity``.
        ProjectNotFound: The caller has no such project.

    Cancellation: nothing changes.
    """
    identity = await require_identity(backend)
    await _settings(backend).read(identity.user.id, project_id)
    return identity


def _settings(backend: Backend) -> LaunchSettings:
    return backend.service.launch_settings


async def _answer(backend: Backend, found: StoredSettings, detected: Detected | None = None) -> Response:
    user_id, problem, saved = found.user_id, None, None
    try:
        saved = await _settings(backend).resolve(user_id, found.project_id)
    except SealedTextUnreadable as error:
        problem = error.message
    live = [
        RunningShape.of(preview, saved)
        for preview in backend.previews.all_active.values()
        if preview.record.user_id == user_id and preview.record.project_id == found.project_id
    ]
    shape = EnvironmentShape.of(found, live, problem, detected)
    return json_answer(shape, headers={"ETag": etag_of(found.revision)})


async def _detected(backend: Backend, user_id: str, project_id: str, generation_id: str) -> Detected:
    """Return what detection decides for a generation of the project.

    Raises:
        GenerationNotFound, Forbidden: The generation is not the user's.
        ProjectMismatch: It belongs to another project.

    Cancellation: nothing remains.
    """
    generation = await owned_by(backend, user_id, generation_id)
    if generation.project_id != project_id:
        raise ProjectMismatch(
            f"The generation {generation_id!r} belongs to the project {quoted(generation.project_id)}."
        )
    try:
        async with open_files(backend.service.generations, generation_id) as directory:
            plan = await backend.previews.detect(directory)
            return Detected.of(generation_id, plan, has_sqlite=backend.settings.db_type == "sqlite")
    except PreviewError as error:
        return Detected(generation_id=generation_id, problem=error.message, entries=[])
