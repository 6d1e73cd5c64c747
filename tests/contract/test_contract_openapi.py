"""All routes of both contracts, asked with whatever their OpenAPI document allows and forbids."""

from __future__ import annotations

import pytest
from contract_cases import LABELS, Sender, bounded, cases, corner_cases, operation_of
from contract_world import World
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import BaseSchema, Case

# An ordinary request is told there to come as a WebSocket, whatever else it says.
ASKED = [label for label in LABELS if not label.endswith(("/preview/logs/ws", "/preview/socket", " /mcp"))]
# The routes without a version are those of v1: their answers are asked by hand.
MOSTLY_V1 = [
    pytest.param(label, marks=pytest.mark.long) if label.replace(" /api/", " /api/v1/", 1) in ASKED else label
    for label in ASKED
]
# A share link is a credential of its own, in the body.
SECURED = [label for label in LABELS if " /api/" in label and not label.endswith("/join")]
CREDENTIALS = st.one_of(
    st.none(),
    st.sampled_from(["Bearer", "Bearer ", "Bearer x.y.z", "Basic YTpi", "bearer \t", "Bearer " + "x" * 20_000]),
    st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0"), max_size=50),
)


@pytest.mark.parametrize("label", MOSTLY_V1)
def test_every_answer_is_as_documented(label: str, world: World, schema: BaseSchema, sender: Sender) -> None:
    operation = operation_of(schema, label)

    @bounded()
    @given(cases(world, operation))
    def ask(case: Case) -> None:  # type: ignore[type-arg]  # hypothesis reads it
        sender.send_as_ann(case)

    ask()


@pytest.mark.long
@pytest.mark.parametrize("label", MOSTLY_V1)
def test_answers_to_corner_cases_are_as_documented(
    label: str, world: World, schema: BaseSchema, sender: Sender
) -> None:
    for case in corner_cases(world, operation_of(schema, label)):
        sender.send_as_ann(case)


@pytest.mark.long
@pytest.mark.parametrize("label", SECURED)
def test_nobody_gets_anything_without_a_good_token(
    label: str, world: World, schema: BaseSchema, sender: Sender
) -> None:
    operation = operation_of(schema, label)

    @bounded()
    @given(cases(world, operation), CREDENTIALS)
    def ask(case: Case, authorization: str | None) -> None:  # type: ignore[type-arg]  # hypothesis reads it
        answer = sender.send(case, authorization)
        # A segment that cannot be a number belongs to no route.
        unknown = {404} if "{number}" in label else set()
        assert answer.status_code in {401, 405, 431} | unknown or (
            label.endswith("logs/stream") and answer.status_code == 400
        )

    ask()
