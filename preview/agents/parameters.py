"""Parameters that several tools have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

GenerationId = Annotated[
    str,
    Field(max_length=128, description="Id of the generation (one uploaded project), from `launch` or `previews`."),
]
Files = Annotated[
    dict[Annotated[str, Field(max_length=1024)], str],
    Field(max_length=2_000, description="Text of each file, by its path relative to the project."),
]
Seconds = Annotated[float, Field(ge=0, le=300, description="Seconds to wait.")]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="Minimum severity.")]
FilterText = Annotated[
    str,
    Field(
        max_length=1_000,
        description="Terms of the filter language, such as `error path:/books -timeout`, `status:5xx` or `ms:>500`.",
    ),
]
Numbers = Annotated[list[int], Field(max_length=100, description="Numbers of recorded requests, from `requests`.")]
Version = Annotated[int, Field(ge=1, description="Number of a version of the files, from `reload`.")]
