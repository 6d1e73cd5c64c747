"""Errors about people (guests, comments, tokens), imports, traces and flags, derived from ``preview.errors``."""

from __future__ import annotations

from preview.errors import Forbidden, LimitReached, PreviewError

__all__ = [
    "AgentsUnavailable", "ApiTokenLimitReached", "ApiTokenNotFound", "CommentLimitReached", "CommentNotFound",
    "ContractNotOffered", "EnvironmentInUse", "EnvironmentNotFound", "FlagChanged", "FlagNotFound",
    "GuestLimitReached", "ImportFailed", "ImportsOff", "InvitationLimitReached", "InvitationNotFound",
    "IsolationBelowMinimum", "LaunchesStopped", "MemberNotFound", "NodeNotFound", "ProfileNotFound",
    "ProfileUnavailable", "RepositoryNotFound", "SavedRequestLimitReached",
    "SavedRequestNotFound", "TemplateNotFound", "TooFast", "TraceNotFound", "UnresolvedVariables",
    "VariableLimitReached", "VariableNotFound", "ViewerNotFound",
]  # fmt: skip


class AgentsUnavailable(PreviewError):
    """The service lacks the package for tools of AI agents."""

    code = "agents_unavailable"


class ApiTokenNotFound(PreviewError):
    """The user has no API token with this id."""

    code = "api_token_not_found"


class ApiTokenLimitReached(LimitReached):
    """The user has the maximum number of API tokens. ``details["limit"]`` is that number."""

    code = "api_token_limit_reached"


class CommentNotFound(PreviewError):
    """The preview has no such comment."""

    code = "comment_not_found"


class CommentLimitReached(LimitReached):
    """The preview has the maximum number of comments. ``details["limit"]`` is that number."""

    code = "comment_limit_reached"


class ContractNotOffered(Forbidden):
    """A flag gives this user only the other contract."""

    code = "contract_not_offered"


class EnvironmentNotFound(PreviewError):
    """The cache has no such environment."""

    code = "environment_not_found"


class EnvironmentInUse(PreviewError):
    """The environment cannot be removed: a preview or a template uses it."""

    code = "environment_in_use"


class FlagChanged(PreviewError):
    """Another operator has changed the flag. ``details["version"]`` is its version now."""

    code = "flag_changed"


class FlagNotFound(PreviewError):
    """No flag has this name."""

    code = "flag_not_found"


class LaunchesStopped(PreviewError):
    """The operator has stopped launches. ``details["reason"]`` may have the operator's sentence."""

    code = "launches_stopped"


class IsolationBelowMinimum(PreviewError):
    """The service lacks the least isolation level of the user's tier. ``details`` has ``minimum`` and ``offered``."""

    code = "isolation_below_minimum"


class GuestLimitReached(LimitReached):
    """The preview has the maximum number of guests. ``details["limit"]`` is that number."""

    code = "guest_limit_reached"


class ImportFailed(PreviewError):
    """A repository could not be downloaded."""

    code = "import_failed"


class ImportsOff(PreviewError):
    """The operator has switched imports from GitHub off."""

    code = "imports_off"


class InvitationLimitReached(LimitReached):
    """The service has the maximum number of invitations. ``details["limit"]`` is that number."""

    code = "invitation_limit_reached"


class InvitationNotFound(PreviewError):
    """No invitation has this id."""

    code = "invitation_not_found"


class MemberNotFound(PreviewError):
    """No invited person has this id."""

    code = "member_not_found"


class RepositoryNotFound(PreviewError):
    """No public repository, or no such branch, tag or commit of it, is at an address."""

    code = "repository_not_found"


class SavedRequestLimitReached(LimitReached):
    """The generation has the maximum number of saved requests. ``details["limit"]`` is that number."""

    code = "saved_request_limit_reached"


class SavedRequestNotFound(PreviewError):
    """The generation has no saved request with this id."""

    code = "saved_request_not_found"


class VariableNotFound(PreviewError):
    """The generation has no variable of this name for requests."""

    code = "variable_not_found"


class VariableLimitReached(LimitReached):
    """The generation has the maximum number of variables for requests. ``details["limit"]`` is that number."""

    code = "variable_limit_reached"


class UnresolvedVariables(PreviewError):
    """A request names variables without a value. ``details["names"]`` has their names."""

    code = "unresolved_variables"


class ProfileNotFound(PreviewError):
    """The functions of the preview's process were never measured."""

    code = "profile_not_found"


class ProfileUnavailable(PreviewError):
    """The preview's process cannot measure its functions."""

    code = "profile_unavailable"


class NodeNotFound(PreviewError):
    """The cluster has no node with this name, or the service is no node of a cluster."""

    code = "node_not_found"


class TemplateNotFound(PreviewError):
    """No environment with this key has, or had, a template."""

    code = "template_not_found"


class TooFast(PreviewError):
    """A person acts more often than allowed: positions, comments, imports."""

    code = "too_fast"


class TraceNotFound(PreviewError):
    """The preview has no trace with this id."""

    code = "trace_not_found"


class ViewerNotFound(PreviewError):
    """The preview has no guest with this id."""

    code = "viewer_not_found"
