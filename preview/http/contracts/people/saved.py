"""Requests that are saved for a generation, and their variables."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from preview.http.core.answers import Answer, Time
from preview.together import SavedRequest, Variable
from preview.together.comments import plain_text
from preview.together.saved import MOST_NAME_CHARACTERS, MOST_REQUEST_BYTES
from preview.together.variables import MOST_VALUE_CHARACTERS, NAME


def _shown(name: str) -> str:
    shown = " ".join(plain_text(name).split())
    if not shown:
        raise ValueError("The name has no visible characters.")
    return shown


def _bounded(more: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(more)) > MOST_REQUEST_BYTES:
        raise ValueError(f"A saved request has at most {MOST_REQUEST_BYTES} bytes as JSON.")
    return more


class SavedBody(BaseModel):
    """A request to save. Clients leave secrets out: everyone who may use the preview can read it."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=MOST_NAME_CHARACTERS), AfterValidator(_shown)]
    method: str = Field(pattern="^[A-Z]{1,16}$", examples=["POST"])
    path: str = Field(min_length=1, max_length=8192, description="With the query.", examples=["/books?limit=5"])
    more: Annotated[dict[str, Any], AfterValidator(_bounded)] = Field(
        default_factory=dict, description="Whatever else the client keeps, such as headers and a body."
    )

    def request(self) -> dict[str, Any]:
        """Return what is stored beside the name."""
        return {"method": self.method, "path": self.path, "more": self.more}


class SavedShape(Answer):
    """A saved request."""

    id: str = Field(examples=["saved_789abcdefghjkmnp"])
    name: str
    method: str
    path: str
    more: dict[str, Any]
    updated_at: Time

    @classmethod
    def of(cls, saved: SavedRequest) -> Self:
        """Return the saved request."""
        return cls(id=saved.id, name=saved.name, updated_at=saved.updated_at, **saved.request)


class SavedList(Answer):
    """All saved requests of a generation, by name."""

    items: list[SavedShape]
    next: None


class RequestVariableBody(BaseModel):
    """The value of a variable. A later value replaces it, and can make it a secret or not one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    value: str = Field(max_length=MOST_VALUE_CHARACTERS, examples=["7"])
    secret: bool = Field(default=False, description="No response ever has the value of a secret.")

    @field_validator("value")
    @classmethod
    def _is_text(cls, value: str) -> str:
        if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
            # Here, because an error of the database would quote the value.
            raise ValueError("The value has a NUL character or half of a surrogate pair; remove it.")
        return value


class RequestVariableShape(Answer):
    """A variable of requests."""

    name: str = Field(pattern=f"^{NAME}$", examples=["book_id"])
    value: str | None = Field(description="Null for a secret.")
    secret: bool
    updated_at: Time

    @classmethod
    def of(cls, variable: Variable) -> Self:
        """Return the variable."""
        return cls(
            name=variable.name,
            value=variable.value,
            secret=variable.value is None,
            updated_at=variable.updated_at,
        )


class RequestVariableList(Answer):
    """All variables of a generation's requests, by name."""

    items: list[RequestVariableShape]
    next: None
