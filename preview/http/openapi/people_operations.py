"""Operations of the routes about people: together at one preview, accounts, operators."""

from __future__ import annotations

from preview import errors, people_errors
from preview.http.contracts import v1
from preview.http.contracts.people import account, events, flags, invitations, saved, together
from preview.http.core import bodies
from preview.http.openapi.model import GONE, ErrorKinds, Operation, Reply

_OWN: ErrorKinds = (errors.GenerationReadOnly,)
_NO_PREVIEW: ErrorKinds = (errors.NoActivePreview,)
_STORED: ErrorKinds = (errors.NoActivePreview, errors.PreviewNotFound)


def together_operations() -> dict[str, Operation]:
    """Return the routes of guests, presence and comments."""
    me = Reply("Who you are.", together.MeShape)
    viewers = Reply(
        "Who has the page open.", together.ViewerList, further_kinds=("text/event-stream",), event=together.ViewerList
    )
    comment = Reply("The comment.", together.CommentShape)
    made = Reply("The comment.", together.CommentShape, headers={"Location": "Address of the comment."})
    return {
        "call_sockets.socket": Operation(
            Reply("A WebSocket; its messages are in docs/api.md.", kind=None),
            (errors.UpgradeRequired, errors.NoActivePreview, errors.TooManyStreams, people_errors.TooFast),
            101,
        ),
        "saved.list_saved": Operation(Reply("The saved requests.", saved.SavedList), _OWN),
        "saved.save_request": Operation(
            Reply("The saved request.", saved.SavedShape),
            (*_OWN, errors.InvalidRequest, people_errors.SavedRequestLimitReached),
            body=saved.SavedBody,
        ),
        "saved.delete_saved": Operation(GONE, (*_OWN, people_errors.SavedRequestNotFound), 204),
        "saved.list_variables": Operation(Reply("The variables.", saved.RequestVariableList), _OWN),
        "saved.set_variable": Operation(
            Reply("The variable.", saved.RequestVariableShape),
            (*_OWN, errors.InvalidRequest, people_errors.VariableLimitReached),
            body=saved.RequestVariableBody,
        ),
        "saved.delete_variable": Operation(GONE, (*_OWN, people_errors.VariableNotFound), 204),
        "together.join": Operation(
            me,
            (errors.InvalidRequest, errors.Forbidden, errors.Unauthenticated, people_errors.GuestLimitReached),
            body=together.JoinBody,
            is_open=True,
        ),
        "together.viewers": Operation(viewers, (*_NO_PREVIEW, errors.TooManyStreams)),
        "together.me": Operation(me, _NO_PREVIEW),
        "together.change_me": Operation(
            GONE, (*_NO_PREVIEW, errors.InvalidRequest, people_errors.TooFast), 204, body=together.MeBody
        ),
        "together.leave": Operation(GONE, status=204),
        "together.remove": Operation(GONE, (*_NO_PREVIEW, people_errors.ViewerNotFound), 204),
        "together.list_comments": Operation(
            Reply("A page of comments.", together.CommentPage),
            (*_STORED, errors.InvalidRequest),
            query=together.CommentsQuery,
        ),
        "together.add_comment": Operation(
            made,
            (
                *_STORED,
                errors.InvalidRequest,
                errors.RequestNotFound,
                errors.FailureNotFound,
                people_errors.CommentLimitReached,
                people_errors.TooFast,
            ),
            201,
            body=together.CommentBody,
        ),
        "together.change_comment": Operation(
            comment,
            (*_STORED, errors.InvalidRequest, people_errors.CommentNotFound),
            body=together.CommentChange,
            query=together.OneCommentQuery,
        ),
        "together.delete_comment": Operation(
            GONE, (*_STORED, people_errors.CommentNotFound), 204, query=together.OneCommentQuery
        ),
    }


def event_operations() -> dict[str, Operation]:
    """Return the routes of events."""
    state = Reply(
        "Who looks at your previews; as Server-Sent Events, what changes.",
        events.EventsState,
        further_kinds=("text/event-stream",),
        event=events.AccountEvent,
    )
    resumes = {"Last-Event-ID": "Id of the last event that the client has."}
    return {
        "events.events": Operation(state, (errors.TooManyStreams,), headers=resumes),
        "events.of_generation": Operation(state, (errors.TooManyStreams,), headers=resumes),
    }


def account_operations() -> dict[str, Operation]:
    """Return the routes of API tokens and usage."""
    made = Reply("The token, with its text.", account.NewToken, headers={"Location": "Address of the token."})
    return {
        "account.list_tokens": Operation(Reply("The API tokens.", account.TokenList), (errors.Forbidden,)),
        "account.create_token": Operation(
            made,
            (errors.InvalidRequest, errors.Forbidden, people_errors.ApiTokenLimitReached),
            201,
            body=account.TokenBody,
            is_missing=True,
        ),
        "account.revoke_token": Operation(GONE, (errors.Forbidden, people_errors.ApiTokenNotFound), 204),
        "account.audit": Operation(
            Reply("A page of entries.", account.AuditPage),
            (errors.Forbidden, errors.InvalidRequest),
            query=bodies.PageQuery,
        ),
        "account.usage": Operation(Reply("The limits.", account.Usage)),
    }


def operator_operations() -> dict[str, Operation]:
    """Return the routes for operators."""
    refused: ErrorKinds = (errors.Forbidden,)
    return {
        "operator.previews": Operation(
            Reply("A page of live previews.", account.OperatorPreviews),
            (*refused, errors.InvalidRequest),
            query=bodies.OperatorPreviewsQuery,
        ),
        "operator.stop": Operation(GONE, (*refused, errors.PreviewNotFound, errors.NoActivePreview), 204),
        "operator.list_users": Operation(
            Reply("A page of users.", account.OperatorUsers),
            (*refused, errors.InvalidRequest),
            query=bodies.PageQuery,
        ),
        "operator.change_tier": Operation(
            GONE,
            (*refused, errors.InvalidRequest, errors.UserNotFound),
            204,
            body=account.TierBody,
        ),
        "operator.audit": Operation(
            Reply("A page of entries.", account.AuditPage),
            (*refused, errors.InvalidRequest),
            query=bodies.AuditQuery,
        ),
        "operator.diagnostics": Operation(Reply("Facts for a support bundle.", account.Diagnostics), refused),
        "operator.verify_audit": Operation(Reply("The result.", account.AuditVerdict), refused),
        "operator.templates": Operation(Reply("The templates.", account.Templates), refused),
        "operator.drop_template": Operation(GONE, (*refused, people_errors.TemplateNotFound), 204),
        "operator.rebuild_template": Operation(GONE, (*refused, people_errors.TemplateNotFound), 204),
        "operator.nodes": Operation(Reply("The machines.", account.Nodes), refused),
        "operator.drain_node": Operation(GONE, (*refused, people_errors.NodeNotFound), 204),
        "operator.resume_node": Operation(GONE, (*refused, people_errors.NodeNotFound), 204),
        "operator.environments": Operation(Reply("The environments.", account.Environments), refused),
        "operator.remove_environment": Operation(
            GONE, (*refused, people_errors.EnvironmentNotFound, people_errors.EnvironmentInUse), 204
        ),
    }


def flag_operations() -> dict[str, Operation]:
    """Return the routes of flags."""
    refused: ErrorKinds = (errors.Forbidden,)
    missing: ErrorKinds = (*refused, errors.InvalidRequest, people_errors.FlagNotFound)
    changed: ErrorKinds = (*missing, people_errors.FlagChanged)
    flag = Reply("The flag.", flags.FlagShape)
    return {
        "flags.list_flags": Operation(Reply("The flags.", flags.FlagList), refused),
        "flags.replace": Operation(flag, changed, body=flags.FlagBody),
        "flags.reset": Operation(flag, changed, query=flags.FlagQuery),
        "flags.dry_run": Operation(Reply("The users.", flags.ReachShape), missing, body=flags.FlagContent),
        "flags.arms": Operation(Reply("The comparison.", flags.ArmList), missing, query=flags.ArmsQuery),
    }


def invitation_operations() -> dict[str, Operation]:
    """Return the routes of invitations."""
    refused: ErrorKinds = (errors.Forbidden,)
    made = Reply("The invitation, with its link.", invitations.NewInvitation, headers={"Location": "Its address."})
    return {
        "invitations.list_invitations": Operation(Reply("The invitations.", invitations.InvitationList), refused),
        "invitations.create": Operation(
            made,
            (*refused, errors.InvalidRequest, people_errors.InvitationLimitReached),
            201,
            body=invitations.InvitationBody,
            is_missing=True,
        ),
        "invitations.revoke": Operation(
            GONE,
            (*refused, errors.InvalidRequest, people_errors.InvitationNotFound),
            204,
            query=invitations.RevokeQuery,
        ),
        "invitations.remove_member": Operation(GONE, (*refused, people_errors.MemberNotFound), 204),
        "invitations.join": Operation(
            Reply("The session; its cookie is set.", v1.Session),
            (*refused, errors.InvalidRequest, errors.Unauthenticated, people_errors.TooFast),
            201,
            body=invitations.JoinServiceBody,
            is_open=True,
            is_missing=True,
        ),
    }
