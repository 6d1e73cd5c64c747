"""A launch's own options, encrypted, for a start on another node of a cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import TypeAdapter

from preview.cluster import Wants
from preview.detection import Overrides
from preview.storage import NOTHING_CARRIED, Carried
from preview.supervisor.launch.start_queue import SupervisorContext

_OVERRIDES: TypeAdapter[Overrides | None] = TypeAdapter(Overrides | None)


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """Options of a launch that neither its generation nor its project's settings have.

    Attributes:
        tier: Name of the tier that it was launched with; None: the users table decides.
        startup_timeout_s: Start-up timeout in seconds; None means the setting.
        overrides: Start options of the request; None without any.
    """

    tier: str | None = None
    startup_timeout_s: float | None = None
    overrides: Overrides | None = None

    def carried(self, context: SupervisorContext, preview_id: str, wants: Wants) -> Carried:
        """Return what a row has of the launch; nothing outside a cluster. Only ``open_options`` decrypts the options.

        Args:
            context: Has the sealer.
            preview_id: The preview, to which the encrypted text is bound.
            wants: Constraints on the node.
        """
        if context.cluster is None or context.sealer is None:
            return NOTHING_CARRIED
        fields = {
            "tier": self.tier,
            "startup_timeout_s": self.startup_timeout_s,
            "overrides": _OVERRIDES.dump_python(self.overrides, mode="json"),
        }
        return Carried(context.sealer.seal(json.dumps(fields), _place(preview_id)), wants.words())


def open_options(sealed: str | None, context: SupervisorContext, preview_id: str) -> LaunchOptions:
    """Return the options of a preview; the default ones if none are stored.

    Raises:
        SealedTextUnreadable: The service does not have the key, or the text was changed or moved.
    """
    if sealed is None or context.sealer is None:
        return LaunchOptions()
    fields = json.loads(context.sealer.open(sealed, _place(preview_id)))
    return LaunchOptions(
        fields["tier"], fields["startup_timeout_s"], _OVERRIDES.validate_json(json.dumps(fields["overrides"]))
    )


def _place(preview_id: str) -> str:
    return f"launch:{preview_id}:options"
