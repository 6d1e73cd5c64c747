"""JSON schemas of start options and variables, for documents.

The models only describe. Request bodies hold plain tables, which ``preview_file`` reads: each mistake has its sentence.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, StrictBool, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import nullable_schema

from preview.core.isolation import Network
from preview.core.lifecycle import OnCrash
from preview.detection.plain import FRAMEWORKS

_NO_NUL = r"^[^\x00]*$"
# Each item of a list counts as 32 characters of the 16 KiB that a table may have.
_MOST_ITEMS = 512
_FOLDER_PATTERN = r"^[^/\x00][^\x00]*$"
_WORDS = Annotated[list[Annotated[str, Field(pattern=_NO_NUL)]], Field(min_length=1, max_length=_MOST_ITEMS)]

_Folder = Annotated[str, Field(pattern=_FOLDER_PATTERN, description="A folder inside the project.")]
_Command = Annotated[str, Field(min_length=1, pattern=_NO_NUL)] | _WORDS
_Path = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^/(?!/)"})]
_Framework = Annotated[str, WithJsonSchema({"type": "string", "enum": list(FRAMEWORKS)})]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepOptions(_Table):
    """A command that runs before the application."""

    run: _Command = Field(description="Text as in a shell, or words.")
    name: str | None = None
    directory: _Folder = "."
    required: StrictBool = Field(default=True, description="`false`: the application starts although the step failed.")


class StartOptions(_Table):
    """Overrides of how the project starts, as in the table `[start]` of `preview.toml`; at most 16 KiB."""

    framework: _Framework | None = Field(default=None, description="Framework, or `command`.")
    app: Annotated[str, Field(min_length=1, pattern=r"^[^\s/\x00-]")] | None = Field(
        default=None, description="`app.main:app`, `shop:create_app()`, a settings module, or Node's entry file."
    )
    factory: StrictBool | None = Field(default=None, description="`app` is a function that returns the application.")
    directory: _Folder | None = Field(default=None, description="Working folder, inside the project.")
    command: _Command | None = Field(default=None, description="A whole command, which listens at `PORT`.")
    server: Literal["asgi", "wsgi", "django", "node", "command"] | None = Field(
        default=None, description="How the application gets its socket."
    )
    health: _Path | None = Field(default=None, description="Path of the health check.")
    network: Network | None = Field(default=None, description="Requested network access.")
    isolation: Literal["container"] | None = Field(default=None, description="`container`: run in a container.")
    dockerfile: Annotated[str, Field(pattern=_FOLDER_PATTERN)] | None = Field(
        default=None, description="Start by this Dockerfile, compose file (`compose.yaml#api`) or `devcontainer.json`."
    )
    trace: StrictBool | None = Field(default=None, description="Record spans of each request.")
    on_crash: OnCrash | None = Field(
        default=None, description="`restart`: start the process again when it crashes. `stay`: the preview fails."
    )
    manifests: _Folder | None = Field(default=None, description="Folder of the manifest with the requirements.")
    python_path: Annotated[list[_Folder], Field(max_length=_MOST_ITEMS)] | None = Field(
        default=None, description="Folders for `PYTHONPATH`."
    )
    steps: Annotated[list[_Command | StepOptions], Field(max_length=_MOST_ITEMS)] | None = Field(
        default=None, description="Commands that run before the application, in place of the detected ones."
    )
    skip_steps: StrictBool | Annotated[list[str], Field(max_length=_MOST_ITEMS)] | None = Field(
        default=None, description="Names of steps to skip; `true` skips all."
    )


class PlanStartOptions(StartOptions):
    """Overrides of how the project starts; keys may also be written as `pythonPath`."""

    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema["properties"].update(
            pythonPath=schema["properties"]["python_path"],
            skipSteps=schema["properties"]["skip_steps"],
            onCrash=schema["properties"]["on_crash"],
        )
    )


class _ModelOrNull:
    """The JSON schema of a model, or null, for a value that is checked elsewhere."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(nullable_schema(self._model.__pydantic_core_schema__))


Start = Annotated[dict[str, Any] | None, _ModelOrNull(StartOptions)]
PlanStart = Annotated[dict[str, Any] | None, _ModelOrNull(PlanStartOptions)]
Env = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": {
                "anyOf": [{"type": "string", "pattern": _NO_NUL}, {"type": "number"}, {"type": "boolean"}]
            },
        }
    ),
]
"""Variables by name. Numbers and booleans become text, as in `preview.toml`."""
