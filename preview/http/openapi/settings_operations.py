"""Operations of launch settings."""

from __future__ import annotations

from preview import errors
from preview.http.contracts.settings import launch_settings as shapes
from preview.http.openapi.model import GONE, ErrorKinds, Operation, Reply

_TAG = {"ETag": "Entity tag of the settings."}
_IF_MATCH = {"If-Match": "Change the settings only if their `ETag` is still this one (RFC 9110)."}


def settings_operations() -> dict[str, Operation]:
    """Describe the routes of launch settings."""
    no_project: ErrorKinds = (errors.ProjectNotFound,)
    no_layer: ErrorKinds = (*no_project, errors.PresetNotFound)
    changes: ErrorKinds = (
        *no_layer,
        errors.InvalidRequest,
        errors.PreconditionFailed,
        errors.SettingsLimitReached,
        errors.TooLarge,
    )
    settings = Reply("The settings.", shapes.EnvironmentShape, headers=_TAG)
    secret = Reply("The secret is set.", shapes.SecretShape)
    preset = Reply("The preset.", shapes.PresetShape, headers=_TAG)
    made = Reply("The new preset.", shapes.PresetShape, headers={"Location": "Address of the preset."})
    layer = shapes.LayerQuery
    return {
        "environment.read": Operation(
            settings,
            (*no_project, errors.InvalidRequest, errors.ProjectMismatch, errors.GenerationNotFound),
            query=shapes.EnvironmentQuery,
        ),
        "environment.replace": Operation(
            settings, changes, body=shapes.EnvironmentBody, query=layer, headers=_IF_MATCH
        ),
        "environment.change": Operation(
            settings, changes, body=shapes.EnvironmentPatch, query=layer, headers=_IF_MATCH
        ),
        "environment.import_": Operation(
            Reply("Names of what changes.", shapes.ImportedEnv),
            changes,
            body=shapes.EnvImportBody,
            query=layer,
            headers=_IF_MATCH,
        ),
        "environment.secret": Operation(secret, (*no_layer, errors.SecretNotFound), query=layer),
        "environment.set_secret": Operation(secret, changes, body=shapes.SecretBody, query=layer, headers=_IF_MATCH),
        "environment.delete_secret": Operation(GONE, (*no_layer, errors.SecretNotFound), 204, query=layer),
        "presets.list_presets": Operation(Reply("The presets.", shapes.PresetList), no_project),
        "presets.add_preset": Operation(made, changes, 201, body=shapes.PresetBody),
        "presets.replace_preset": Operation(preset, changes, body=shapes.EnvironmentBody, headers=_IF_MATCH),
        "presets.delete_preset": Operation(GONE, no_layer, 204),
        "environment.compare": Operation(
            Reply("What differs.", shapes.ComparedPresets),
            (*no_layer, errors.SealedTextUnreadable),
            query=shapes.CompareQuery,
        ),
    }
