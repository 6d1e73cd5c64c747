"""Launch settings of projects; only contract ``v1`` has them. No shape has the value of a secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from preview.detection.overrides.start_schema import Start
from preview.http.contracts.settings.detected import Detected
from preview.http.core.answers import Answer, AnyJson
from preview.launch_settings import (
    MOST_LAYER_BYTES,
    MOST_VALUE_BYTES,
    MOST_VARIABLES,
    Differing,
    EnvImport,
    Layer,
    LayerChange,
    ResolvedSettings,
    StoredSettings,
    flag_state,
    toggled,
)
from preview.supervisor import SERVICE_VARIABLES, LivePreview

_Name = Annotated[str, Field(max_length=128, pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
_Value = Annotated[str, Field(max_length=MOST_VALUE_BYTES, pattern=r"^[^\x00]*$")]
_Values = Annotated[dict[_Name, _Value], Field(max_length=MOST_VARIABLES)]
_START: Any = Field(
    default=None,
    description="The table `[start]` of `preview.toml`.",
    examples=[{"app": "app.main:app"}],
)
_MEMORY = "Memory limit in MiB; at most the service's own applies. 0 or null: the service's own."


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class EnvironmentBody(_Body):
    """Settings in place of those that are stored. Secrets stay: see their own route."""

    variables: _Values = Field(default_factory=dict, examples=[{"LOG_LEVEL": "DEBUG", "NEW_CHECKOUT": "true"}])
    start: Start = _START
    memory_mb: int | None = Field(default=None, description=_MEMORY, examples=[512])

    def change(self) -> LayerChange:
        """Return the change of a layer that makes it like this."""
        return LayerChange(self.variables, is_whole=True, start=self.start or {}, memory_mb=self.memory_mb or 0)


class EnvironmentPatch(_Body):
    """A change of some settings; all others stay."""

    set: _Values = Field(default_factory=dict, description="Variables to set.", examples=[{"NEW_CHECKOUT": "false"}])
    unset: list[str] = Field(
        default_factory=list, max_length=MOST_VARIABLES, description="Names of variables and secrets to remove."
    )
    start: Start = _START
    memory_mb: int | None = Field(default=None, description="As for PUT; 0 removes the limit, null leaves it.")
    active_preset: str | None = Field(
        default=None, max_length=64, description="Name of the preset to make active; an empty text: none."
    )

    def change(self) -> LayerChange | None:
        """Return the change of a layer; None without one."""
        if not (self.set or self.unset) and self.start is None and self.memory_mb is None:
            return None
        return LayerChange(self.set, unset=tuple(self.unset), start=self.start, memory_mb=self.memory_mb)


class EnvImportBody(_Body):
    """A ``.env`` text."""

    text: str = Field(max_length=4 * MOST_LAYER_BYTES, examples=["LOG_LEVEL=DEBUG\nAPI_KEY='…'\n"])
    secrets: list[str] | None = Field(
        default=None,
        max_length=MOST_VARIABLES,
        description="Names to keep as secrets. Null: those whose name looks like a secret.",
    )
    dry_run: bool = Field(default=False, description="Only report what would change.")


class PresetBody(_Body):
    """A new preset."""

    name: str = Field(max_length=64, examples=["staging"])
    copy_of: str | None = Field(default=None, max_length=64, description="Preset to copy, with its secrets.")


class SecretBody(_Body):
    """The value of a secret. No response ever has it."""

    value: _Value = Field(min_length=1, examples=["…"])


class LayerQuery(BaseModel):
    """The layer to change."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    preset: str | None = Field(default=None, max_length=64, description="Default: the project's own settings.")


class EnvironmentQuery(BaseModel):
    """The generation whose detection is shown."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    generation_id: str | None = Field(
        default=None, max_length=128, description="Adds `detected` for this generation of the project."
    )


class CompareQuery(BaseModel):
    """Two presets."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    a: str | None = Field(default=None, max_length=64, description="Default: the project's own settings alone.")
    b: str | None = Field(default=None, max_length=64, description="The other one.")


class VariableShape(Answer):
    """A variable or a secret."""

    name: str
    value: str | None = Field(description="Null for a secret.")
    secret: bool
    flag: bool | None = Field(description="State, if the value is one of a feature flag; else null.")
    toggled: str | None = Field(description="The opposite value of the flag, in the same words.")
    note: str | None = Field(description="One sentence, if the value has no effect as it is.")

    @classmethod
    def of(cls, name: str, value: str | None) -> Self:
        """Return a variable; a secret for no value."""
        note = f"The service itself sets {name}; this value has no effect." if name in SERVICE_VARIABLES else None
        return cls(
            name=name,
            value=value,
            secret=value is None,
            flag=None if value is None else flag_state(value),
            toggled=None if value is None else toggled(value),
            note=note,
        )


class SettingsLayer(Answer):
    """Settings of a project, or those of a preset that lies over them."""

    holds_any = True

    variables: list[VariableShape] = Field(description="By name.")
    start: AnyJson = Field(description="Start options that differ from detection.")
    memory_mb: int | None

    @classmethod
    def of(cls, layer: Layer) -> Self:
        """Return the layer, without values of secrets."""
        values: dict[str, str | None] = {**layer.variables, **dict.fromkeys(layer.secrets)}
        return cls(
            variables=[VariableShape.of(name, values[name]) for name in sorted(values)],
            start=dict(layer.start),
            memory_mb=layer.memory_mb,
        )


class PresetShape(SettingsLayer):
    """A preset."""

    name: str
    active: bool

    @classmethod
    def of_settings(cls, settings: StoredSettings, name: str) -> Self:
        """Return one preset of a project."""
        layer = SettingsLayer.of(settings.presets[name])
        return cls.taken_from(layer, name=name, active=settings.active == name)


class PresetList(Answer):
    """The presets of a project, oldest first."""

    holds_any = True

    items: list[PresetShape]
    next: None = Field(default=None, description="Always null: a project has few presets.")


class EffectiveShape(Answer):
    """A variable as the next launch gets it from the settings."""

    name: str
    value: str | None = Field(description="Null for a secret.")
    secret: bool
    source: Literal["project", "preset"]


class RunningShape(Answer):
    """A live preview of the project, and the settings that its process started with."""

    generation_id: str
    preview_id: str
    preset: str | None
    is_current: bool = Field(description="False if the saved settings differ: restart it to apply them.")

    @classmethod
    def of(cls, preview: LivePreview, saved: ResolvedSettings | None) -> Self:
        """Return the preview; the saved settings are None if they cannot be read."""
        served = preview.served_settings
        return cls(
            generation_id=preview.record.generation_id,
            preview_id=preview.id,
            preset=served.preset,
            is_current=saved and (served.digest, preview.memory_mb) == (saved.digest, saved.memory_mb),
        )


class EnvironmentShape(Answer):
    """The launch settings of a project."""

    holds_any = True

    project_id: str
    revision: int = Field(description="Also the `ETag`.")
    active_preset: str | None
    settings: SettingsLayer = Field(description="The project's own settings.")
    presets: list[PresetShape]
    effective: list[EffectiveShape] = Field(description="Variables of the settings and the active preset, by name.")
    problem: str | None = Field(description="The reason why a launch cannot use the settings; null if it can.")
    running: list[RunningShape] = Field(description="Live previews of the project.")
    detected: Detected | None = Field(description="With `generation_id` in the query; else null.")

    @classmethod
    def of(
        cls, settings: StoredSettings, running: Iterable[RunningShape], problem: str | None, detected: Detected | None
    ) -> Self:
        """Return the settings, without values of secrets."""
        return cls(
            project_id=settings.project_id,
            revision=settings.revision,
            active_preset=settings.active,
            settings=SettingsLayer.of(settings.base),
            presets=[PresetShape.of_settings(settings, name) for name in settings.presets],
            effective=_effective(settings),
            problem=problem,
            running=list(running),
            detected=detected,
        )


class ImportedEnv(Answer):
    """Result of a ``.env`` text: names alone."""

    added: list[str]
    changed: list[str] = Field(description="Also each secret that has a value already.")
    same: list[str]
    secrets: list[str] = Field(description="Those that are kept as secrets.")
    applied: bool = Field(description="False after a dry run.")

    @classmethod
    def of(cls, read: EnvImport, before: Layer, *, applied: bool) -> Self:
        """Compare the text's variables with those of a layer."""
        known = {*before.variables, *before.secrets}
        names = {*read.variables, *read.secrets}
        same = {name for name, value in read.variables.items() if before.variables.get(name) == value}
        return cls(
            added=sorted(names - known),
            changed=sorted((names & known) - same),
            same=sorted(same),
            secrets=sorted(read.secrets),
            applied=applied,
        )


class SecretShape(Answer):
    """A secret, without its value."""

    name: str
    preset: str | None
    is_set: Literal[True]


class SettingDifferenceShape(Answer):
    """A variable or a start option of two presets."""

    name: str
    state: Literal["same", "differs", "only_a", "only_b"]
    secret: bool
    a: AnyJson = Field(description="Null if missing or a secret.")
    b: AnyJson


class ComparedPresets(Answer):
    """Two presets, over the project's own settings."""

    holds_any = True

    a: str | None
    b: str | None
    items: list[SettingDifferenceShape]
    next: None = None

    @classmethod
    def of(cls, query: CompareQuery, found: Sequence[Differing]) -> Self:
        """Return the differences."""
        items = [
            SettingDifferenceShape(name=one.name, state=one.state, secret=one.is_secret, a=one.a, b=one.b)
            for one in found
        ]
        return cls(a=query.a, b=query.b, items=items, next=None)


def _effective(settings: StoredSettings) -> list[EffectiveShape]:
    found: dict[str, EffectiveShape] = {}
    layers: list[tuple[Literal["project", "preset"], Layer]] = [("project", settings.base)]
    if settings.active is not None:
        layers.append(("preset", settings.layer(settings.active)))
    for source, layer in layers:
        for name, value in layer.variables.items():
            found[name] = EffectiveShape(name=name, value=value, secret=False, source=source)
        for name in layer.secrets:
            found[name] = EffectiveShape(name=name, value=None, secret=True, source=source)
    return [found[name] for name in sorted(found)]
