"""Keys of webhook signatures, encrypted in the database and in rules; decrypted for one webhook at a time."""

from __future__ import annotations

from preview.alerts.rule import Rule
from preview.storage import Sealer


class WebhookSecrets:
    """Seals and opens the secrets of rules.

    Args:
        sealer: The service's sealer.
    """

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, rule_id: str, secret: str | None) -> str | None:
        """Return the secret as a rule has it."""
        return None if secret is None else self._sealer.seal(secret, _place(rule_id))

    def renew(self, rule_id: str, sealed: str) -> str | None:
        """Return the secret sealed with the newest key; None if it is already.

        Raises:
            SealedTextUnreadable: Its key is gone, or it was changed.
        """
        return self._sealer.renew(sealed, _place(rule_id))

    def open(self, rule: Rule) -> str | None:
        """Return the secret of the rule's webhook; None for an unsigned one.

        Raises:
            SealedTextUnreadable: Its key is gone, or it was changed.
        """
        if rule.webhook is None or rule.webhook.secret is None:
            return None
        return self._sealer.open(rule.webhook.secret, _place(rule.id))


def _place(rule_id: str) -> str:
    return f"webhook:{rule_id}:secret"
