"""Launch settings in the database: one row for each project, secrets sealed inside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, func, select, update

from preview.core.clock import now_ms
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.errors import (
    InvalidRequest,
    PreconditionFailed,
    PreviewError,
    ProjectNotFound,
    SealedTextUnreadable,
    SecretNotFound,
    SettingsLimitReached,
)
from preview.launch_settings.difference import Differing, compare_layers
from preview.launch_settings.model import (
    MOST_PRESETS,
    Layer,
    LayerChange,
    StoredSettings,
    check_bounds,
    check_memory,
    check_preset_name,
    check_start,
    check_values,
)
from preview.launch_settings.resolve import ACTIVE, NO_SETTINGS, ResolvedSettings, open_secrets, place_of, resolve
from preview.storage import Database, Sealer
from preview.storage.database import lock_count
from preview.storage.tables import generations, launch_settings, projects
from preview.storage.users import ensure_row

_S = launch_settings.c
# A host that embeds the service names the projects, so the service cannot check that they exist.
_MOST_PROJECTS: Final = 1000

Expected = Callable[[int], bool] | None
"""Returns true for the revision that the caller has seen; None accepts any."""


class LaunchSettings:
    """Reads and changes launch settings. All methods raise ``DatabaseUnavailable`` in an outage.

    Args:
        database: The service's database.
        sealer: Encrypts secrets.
        has_projects: True if the service keeps the projects; False if a host does.
    """

    def __init__(self, database: Database, sealer: Sealer, *, has_projects: bool) -> None:
        self._database = database
        self._sealer = sealer
        self._has_projects = has_projects

    async def read(self, user_id: str, project_id: str) -> StoredSettings:
        """Return a project's settings.

        Raises:
            ProjectNotFound: The user has no such project.

        Cancellation: nothing changes.
        """
        return await self._database.read(partial(self._read, user_id, _checked(project_id)))

    async def resolve(self, user_id: str, project_id: str, preset: str | None = ACTIVE) -> ResolvedSettings:
        """Return what applies to a launch; nothing for an unknown project.

        Raises:
            PresetNotFound: There is no such preset.
            SealedTextUnreadable: A secret's key is gone.

        Cancellation: nothing changes.
        """
        query = select(launch_settings).where(_S.user_id == user_id, _S.project_id == project_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None and preset in {ACTIVE, None}:
            return NO_SETTINGS
        stored = StoredSettings(user_id, project_id) if row is None else _stored(row)
        return resolve(stored, self._sealer, preset)

    async def change(
        self,
        user_id: str,
        project_id: str,
        preset: str | None,
        change: LayerChange,
        expected: Expected = None,
        *,
        switch_to: str | None = None,
    ) -> StoredSettings:
        """Change one layer; return the new settings.

        Args:
            user_id: The owner.
            project_id: The project.
            preset: The layer; None: the project's own settings.
            change: The change.
            expected: Returns true for the revision that the caller has seen.
            switch_to: Name of the preset to make active; empty: none; None leaves the active one.

        Raises:
            ProjectNotFound, PresetNotFound: There is no such project or preset.
            InvalidRequest: A name or a value is wrong, or a variable has the name of a secret.
            PreconditionFailed: The settings were changed meanwhile.
            SettingsLimitReached: The layer would be too large.

        Cancellation: the change is stored completely or not at all.
        """
        check_values({**change.set_values, **{name: one.value for name, one in change.set_secrets.items()}})
        if change.start is not None:
            check_start(change.start)
        if change.memory_mb:
            check_memory(change.memory_mb)

        def apply(before: StoredSettings) -> StoredSettings:
            after = _with(before, preset, self._changed(before, preset, change))
            if switch_to is None:
                return after
            before.layer(switch_to or None)
            return replace(after, active=switch_to or None)

        return await self._write(user_id, project_id, apply, expected)

    async def add_preset(self, user_id: str, project_id: str, name: str, source: str | None) -> StoredSettings:
        """Add a preset.

        Args:
            user_id: The owner.
            project_id: The project.
            name: The name of the new preset.
            source: Name of the preset to copy, with its secrets; None: an empty one.

        Raises:
            ProjectNotFound, PresetNotFound: There is no such project, or no such source.
            InvalidRequest: The name is wrong or in use.
            SettingsLimitReached: The project has as many presets as allowed.

        Cancellation: it is stored or not.
        """
        check_preset_name(name)

        def apply(before: StoredSettings) -> StoredSettings:
            if name in before.presets:
                raise InvalidRequest(f"The project has a preset {quoted(name)} already; change that one.", field="name")
            if len(before.presets) >= MOST_PRESETS:
                raise SettingsLimitReached(
                    f"The project has {len(before.presets)} presets, and {MOST_PRESETS} are allowed; remove one first.",
                    limit=MOST_PRESETS,
                )
            layer = Layer()
            if source is not None:
                opened = open_secrets(before, source, self._sealer)
                layer = replace(before.layer(source), secrets=self._sealed(before, name, opened))
            return _with(before, name, layer)

        return await self._write(user_id, project_id, apply, None)

    async def remove_preset(self, user_id: str, project_id: str, name: str) -> StoredSettings:
        """Remove a preset; if it is active, none is afterwards.

        Raises:
            ProjectNotFound, PresetNotFound: There is no such preset.

        Cancellation: it is removed or not.
        """

        def apply(before: StoredSettings) -> StoredSettings:
            before.layer(name)
            left = {other: layer for other, layer in before.presets.items() if other != name}
            return replace(before, presets=left, active=None if before.active == name else before.active)

        return await self._write(user_id, project_id, apply, None)

    async def remove_secret(self, user_id: str, project_id: str, preset: str | None, name: str) -> StoredSettings:
        """Remove a secret.

        Raises:
            ProjectNotFound, PresetNotFound, SecretNotFound: There is no such secret.

        Cancellation: it is removed or not.
        """

        def apply(before: StoredSettings) -> StoredSettings:
            layer = before.layer(preset)
            if name not in layer.secrets:
                raise SecretNotFound(f"There is no secret {quoted(name)}.")
            left = {other: text for other, text in layer.secrets.items() if other != name}
            return _with(before, preset, replace(layer, secrets=left))

        return await self._write(user_id, project_id, apply, None)

    async def compare(self, user_id: str, project_id: str, a: str | None, b: str | None) -> list[Differing]:
        """Compare two presets; see ``compare_layers``.

        Raises:
            ProjectNotFound, PresetNotFound: There is no such preset.
            SealedTextUnreadable: A secret's key is gone.

        Cancellation: nothing changes.
        """
        return compare_layers(await self.read(user_id, project_id), a, b, self._sealer)

    async def forget(self, user_id: str, project_id: str) -> None:
        """Delete all settings of a project without generations. Cancellation: they are deleted or not."""
        kept = exists().where(generations.c.user_id == user_id, generations.c.project_id == project_id)
        statement = delete(launch_settings).where(_S.user_id == user_id, _S.project_id == project_id, ~kept)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    # In the database's threads

    def _read(self, user_id: str, project_id: str, connection: Connection) -> StoredSettings:
        query = select(launch_settings).where(_S.user_id == user_id, _S.project_id == project_id)
        row = connection.execute(query).first()
        if row is not None:
            return _stored(row)
        if self._has_projects and not connection.scalar(
            select(func.count()).where(projects.c.user_id == user_id, projects.c.id == project_id)
        ):
            raise _no_project(project_id)
        return StoredSettings(user_id, project_id)

    async def _write(
        self, user_id: str, project_id: str, apply: Callable[[StoredSettings], StoredSettings], expected: Expected
    ) -> StoredSettings:
        # An error rolls the transaction back.
        change = partial(self._apply, user_id, _checked(project_id), apply, expected)
        return await self._database.write(change)

    def _apply(
        self,
        user_id: str,
        project_id: str,
        apply: Callable[[StoredSettings], StoredSettings],
        expected: Expected,
        connection: Connection,
    ) -> StoredSettings:
        before = self._read(user_id, project_id, connection)
        where = (_S.user_id == user_id, _S.project_id == project_id)
        if before.revision == 0:
            lock_count(connection, launch_settings.name, user_id)
            count = connection.scalar(select(func.count()).select_from(launch_settings).where(_S.user_id == user_id))
            if (count or 0) >= _MOST_PROJECTS:
                raise SettingsLimitReached(
                    f"{count} of your projects have settings, the maximum; remove the settings of one project first.",
                    limit=_MOST_PROJECTS,
                )
            empty = {"user_id": user_id, "project_id": project_id, "revision": 0, "updated_at": 0, "data": "{}"}
            ensure_row(connection, launch_settings, empty)
        row = connection.execute(select(launch_settings).where(*where).with_for_update()).one()
        before = _stored(row)
        if expected is not None and not expected(before.revision):
            raise PreconditionFailed("The settings were changed meanwhile; read them again and repeat the change.")
        after = self._renewed(replace(apply(before), revision=before.revision + 1))
        values = {"revision": after.revision, "updated_at": now_ms(), "data": _dumped(after)}
        connection.execute(update(launch_settings).where(*where).values(values))
        return after

    def _changed(self, settings: StoredSettings, preset: str | None, change: LayerChange) -> Layer:
        layer = settings.layer(preset)
        gone = {*change.unset, *change.set_secrets}
        secrets = {name: text for name, text in layer.secrets.items() if name not in change.unset}
        if clash := sorted(set(change.set_values) & set(secrets)):
            raise InvalidRequest(
                f"{quoted(clash[0])} is a secret; remove the secret first, or set it as a secret.", field=clash[0]
            )
        kept = {} if change.is_whole else {name: one for name, one in layer.variables.items() if name not in gone}
        variables = kept | {name: value for name, value in change.set_values.items() if name not in gone}
        sealed = self._sealed(settings, preset, {name: one.value for name, one in change.set_secrets.items()})
        secrets |= sealed
        # A sealed text is longer than its value, by a third and a few bytes: a bound on it is one on the value.
        check_bounds(variables, {name: len(text) * 3 // 4 for name, text in secrets.items()})
        return Layer(
            variables,
            secrets,
            layer.start if change.start is None else change.start,
            layer.memory_mb if change.memory_mb is None else change.memory_mb or None,
        )

    def _sealed(self, settings: StoredSettings, preset: str | None, values: Mapping[str, str]) -> dict[str, str]:
        return {name: self._sealer.seal(value, place_of(settings, preset, name)) for name, value in values.items()}

    def _renewed(self, settings: StoredSettings) -> StoredSettings:
        """Seal everything with the newest key, so that an old one can be taken away in time."""
        layers = {
            name: replace(
                layer,
                secrets={one: self._renew(text, place_of(settings, name, one)) for one, text in layer.secrets.items()},
            )
            for name, layer in (*settings.presets.items(), (None, settings.base))
        }
        return replace(settings, base=layers[None], presets={name: layers[name] for name in settings.presets})

    def _renew(self, text: str, place: str) -> str:
        try:
            return self._sealer.renew(text, place) or text
        except SealedTextUnreadable:
            return text  # it is reported at the next launch, and can be set again


def _checked(project_id: str) -> str:
    if not is_valid_id(project_id):
        raise _no_project(project_id)
    return project_id


def _no_project(project_id: str) -> PreviewError:
    return ProjectNotFound(f"You have no project {quoted(project_id)}.")


def _with(settings: StoredSettings, preset: str | None, layer: Layer) -> StoredSettings:
    if preset is None:
        return replace(settings, base=layer)
    return replace(settings, presets={**settings.presets, preset: layer})


def _dumped(settings: StoredSettings) -> str:
    presets = {name: _layer_json(layer) for name, layer in settings.presets.items()}
    return json.dumps({"base": _layer_json(settings.base), "presets": presets, "active": settings.active})


def _layer_json(layer: Layer) -> dict[str, Any]:
    return {
        "variables": dict(layer.variables),
        "secrets": dict(layer.secrets),
        "start": dict(layer.start),
        "memory_mb": layer.memory_mb,
    }


def _stored(row: Any) -> StoredSettings:
    data = json.loads(row.data)
    presets = {name: Layer(**layer) for name, layer in data.get("presets", {}).items()}
    return StoredSettings(
        row.user_id, row.project_id, row.revision, Layer(**data.get("base", {})), presets, data.get("active")
    )
