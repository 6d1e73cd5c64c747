"""Invitations, and the people whom they have admitted."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from preview.auth.invitations import MOST_NAME_CHARACTERS, MOST_USES, Invitation
from preview.auth.members import Member
from preview.http.core.answers import Answer, Time

_DAY_S = 24 * 3600.0
_Role = Literal["read", "use", "launch", "admin"]
_Tier = Literal["free", "pro", "enterprise"]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class InvitationBody(_Body):
    """A new invitation."""

    note: str = Field(
        default="", max_length=100, pattern=r"^[ -~]*$", description="Who it is for.", examples=["May workshop"]
    )
    uses: int = Field(default=1, ge=1, le=MOST_USES, description="Number of people who may join with it.")
    expires_in: float = Field(default=7 * _DAY_S, ge=60, le=90 * _DAY_S, description="Seconds.")
    tier: _Tier = Field(default="free", description="Tier of these people; an operator can change it later.")
    role: _Role = Field(default="admin", description="What these people may do, as the roles of API tokens.")


class RevokeQuery(BaseModel):
    """Options of a revocation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    people: bool = Field(default=False, description="Also remove the people who joined with it.")


class JoinServiceBody(_Body):
    """The code of an invitation, and the person's name."""

    code: str = Field(max_length=200, description="The end of the link.")
    name: str = Field(default="", max_length=MOST_NAME_CHARACTERS, description="Part of the new user's id.")


class MemberShape(Answer):
    """A person whom an invitation has admitted."""

    user_id: str = Field(examples=["invited:anna-789abcdefghjkmnp"])
    name: str
    role: _Role
    created_at: Time
    removed_at: Time | None = Field(description="Null for a person who may use the service.")

    @classmethod
    def of(cls, member: Member) -> Self:
        """Return the person."""
        return cls.taken_from(member, role=member.role.value)


class InvitationShape(Answer):
    """An invitation, without its link."""

    id: str = Field(examples=["invitation_789abcdefghjkmnp"])
    state: Literal["open", "used", "expired", "revoked"]
    note: str
    created_by: str
    created_at: Time
    expires_at: Time
    most_uses: int
    uses: int
    tier: _Tier
    role: _Role
    people: list[MemberShape]

    @classmethod
    def of(cls, invitation: Invitation) -> Self:
        """Return the invitation."""
        people = [MemberShape.of(one) for one in invitation.members]
        return cls.taken_from(invitation, role=invitation.role.value, people=people)


class NewInvitation(InvitationShape):
    """A new invitation, with its link: this is the only time that it is shown."""

    url: str = Field(description="Opens the page, where the person joins. Pass it on by a private way.")

    @classmethod
    def made(cls, invitation: Invitation, url: str) -> Self:
        """Return the invitation with its link."""
        return cls.taken_from(invitation, role=invitation.role.value, people=[], url=url)


class InvitationList(Answer):
    """The invitations, newest first."""

    items: list[InvitationShape]
    next: None = Field(default=None, description="Always null: their number has a limit.")
