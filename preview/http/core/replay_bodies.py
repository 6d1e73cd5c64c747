"""Models of request bodies for replay, comparison and checks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from preview.detection.overrides.start_schema import Env, Start
from preview.generations import MAX_VERSION
from preview.http.core.bodies import whole
from preview.replay.checks.file import MOST_CHECKS, CheckTable
from preview.replay.comparing.rules import MOST_RULES
from preview.replay.sending import MOST_REQUESTS

Number = Annotated[int, BeforeValidator(whole), Field(ge=1, le=10**15)]
_Text = Annotated[str, Field(max_length=64 * 1024)]
_SECRETS: Any = Field(
    default_factory=dict,
    max_length=50,
    description="Values in place of secrets that were not recorded, by the name of the JSON field, form field, header "
    "or cookie.",
    examples=[{"password": "correct horse"}],
)
_IGNORE: Any = Field(
    default_factory=list,
    max_length=MOST_RULES,
    description="Paths that are not compared, besides those of `preview.checks.toml`.",
    examples=[["$.items[*].updated_at"]],
)
_ON: Any = Field(
    default="auto", description="`auto`: a trial, if a request may change data and `allow_changes` is not set."
)


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class GivenRequest(_Body):
    """A request that was not recorded."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: str = Field(max_length=16 * 1024, examples=["/books?limit=10"])
    headers: dict[str, str] = Field(default_factory=dict, max_length=100)
    body: _Text | None = None


class _Requests(_Body):
    numbers: list[Number] | None = Field(
        default=None, max_length=MOST_REQUESTS, description="Numbers of recorded requests, in the order to send them."
    )
    filter: str | None = Field(
        default=None, max_length=1000, description="Recorded requests that match; default: the last 50."
    )
    requests: list[GivenRequest] = Field(
        default_factory=list, max_length=MOST_REQUESTS, description="Requests in place of recorded ones."
    )


class ReplayBody(_Requests):
    """Requests to send again."""

    version: Number | None = Field(
        default=None, le=MAX_VERSION, description="On a trial with this version of the files; default: the current one."
    )
    on: Literal["auto", "preview", "trial"] = _ON
    allow_changes: bool = Field(default=False, description="Send requests that may change data to the preview itself.")
    secrets: dict[str, _Text] = _SECRETS
    ignore: list[str] = _IGNORE


class OneReplayBody(_Body):
    """Options of the replay of one request."""

    on: Literal["auto", "preview", "trial"] = _ON
    allow_changes: bool = False
    secrets: dict[str, _Text] = _SECRETS
    ignore: list[str] = _IGNORE


class SideBody(_Body):
    """A version to compare."""

    generation: str | None = Field(
        default=None,
        max_length=128,
        validation_alias=AliasChoices("generation", "generation_id"),
        description="Its id; default: that of the address.",
    )
    version: Number | None = Field(
        default=None, le=MAX_VERSION, description="Version of its files; default: the current ones."
    )
    snapshot: str | None = Field(
        default=None, max_length=64, description="Data to start from; default: that of the running preview of `a`."
    )
    preset: str | None = Field(
        default=None,
        max_length=64,
        description="Preset of the project's settings; default: the active one. An empty text: none.",
    )
    start: Start = Field(default=None, description="As for a launch.")
    env: Env | None = Field(default=None, description="Variables, as for a launch.")


class CompareBody(_Requests):
    """Two versions to compare, and the requests."""

    a: SideBody = Field(default=SideBody(), description="The baseline.")
    b: SideBody = Field(default=SideBody(), description="The candidate.")
    secrets: dict[str, _Text] = _SECRETS
    ignore: list[str] = _IGNORE


class ChecksBody(_Body):
    """All checks of a generation."""

    checks: list[CheckTable] = Field(max_length=MOST_CHECKS)
    ignore: list[str] = Field(default_factory=list, max_length=MOST_RULES, description="Paths that are not compared.")


class ChecksRunBody(_Body):
    """Options of a run."""

    on: Literal["auto", "preview", "trial"] = _ON
    allow_changes: bool = False


class SaveCheckBody(_Body):
    """A check to be made of a recorded request."""

    name: str | None = Field(default=None, min_length=1, max_length=200, description="Default: method and path.")


class ImportQuery(BaseModel):
    """Selection of an imported file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    host: str | None = Field(
        default=None, max_length=300, description="Only requests to this host; default: that of most requests."
    )
