"""Puts the values of variables into a request to a preview."""

from __future__ import annotations

from urllib.parse import quote

from preview.core.quoting import quoted
from preview.errors import Forbidden, InvalidRequest
from preview.http.backend import Backend
from preview.http.core.bodies import V1EnvelopeBody
from preview.people_errors import UnresolvedVariables
from preview.supervisor import LivePreview
from preview.together import Filling, Values

# A value may be a part of a path, or a path with a query.
_SAFE_IN_PATH = "/?&=:@!$'()*+,;~%-._"


async def resolved(
    backend: Backend, preview: LivePreview, envelope: V1EnvelopeBody, *, is_guest: bool
) -> V1EnvelopeBody:
    """Return the request with the values of its generation's variables.

    Secrets that it uses are kept out of later log lines and recorded requests of the preview.

    Args:
        backend: Has the variables.
        preview: The preview that the request is for.
        envelope: The request.
        is_guest: A guest could make the application show a secret, so guests cannot use them.

    Raises:
        UnresolvedVariables: A variable has no value; nothing is sent.
        Forbidden: A guest's request has a secret.
        InvalidRequest: The path has a secret: paths are logged.
        BodyTooLarge: The values make the request too large.
        SealedTextUnreadable: A secret's key is gone.

    Cancellation: nothing changes.
    """
    values = await backend.people.variables.values(preview.record.generation_id) if backend.edits else Values()
    limit = backend.settings.proxy_body_bytes
    in_path = Filling(Values({name: quote(value, _SAFE_IN_PATH) for name, value in values.plain.items()}), limit)
    path = in_path.text(envelope.path)
    if secret := next((name for name in in_path.unresolved if name in values.secret), None):
        raise InvalidRequest(
            f"The path has the secret {quoted(secret)}, but paths are logged; send secrets in headers or the body.",
            field="path",
        )
    filling = Filling(values, limit)
    try:
        changes = {
            "path": path,
            "query": filling.whole(envelope.query),
            "headers": filling.whole(envelope.headers),
            # Bytes stay as they are.
            "body": envelope.body if envelope.encoding is not None else filling.whole(envelope.body),
        }
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply; send it without `resolve`.", field="body") from None
    _check([*in_path.unresolved, *filling.unresolved])
    if filling.secrets:
        if is_guest:
            raise Forbidden(
                f"Only the owner of the preview may send the secret {quoted(next(iter(filling.secrets)))}.",
                reason="secret_variable",
            )
        preview.hide([values.secret[name] for name in filling.secrets], sent=True)
    return envelope.model_copy(update=changes)


def _check(unresolved: list[str]) -> None:
    """Check that all variables had a value.

    Raises:
        UnresolvedVariables: Some had none.
    """
    if unresolved:
        names = list(dict.fromkeys(unresolved))[:100]
        shown = ", ".join(quoted(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
        raise UnresolvedVariables(
            f"The request has variables without a value: {shown}. Set them, or send it without `resolve`.", names=names
        )
