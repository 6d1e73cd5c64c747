"""What each contract must be able to show, and which module shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from preview.core.lifecycle import State
from preview.endpoints import Endpoint
from preview.http.contracts import plan, v1
from preview.http.contracts.facts import Call, Facts, Json
from preview.http.core.errors import Problem
from preview.logs import Contract
from preview.settings import Settings, Tier
from preview.storage.records import PreviewRecord
from preview.supervisor.preview.interface import Launched


class View(Protocol):
    """One document's way to write things down; the modules ``plan`` and ``v1`` are two of them."""

    LAUNCH_STATUS: int

    def state_word(self, state: State) -> str:
        """The word for a state."""

    def launched(self, launch: Launched) -> Json:
        """Answer to a launch."""

    def status(self, facts: Facts) -> Json:
        """Answer to a question for the status."""

    def stopped(self, record: PreviewRecord) -> Json | None:
        """Answer to a stop; None is 204."""

    def endpoints(self, found: Sequence[Endpoint]) -> Json:
        """The list of endpoints."""

    def proxied(self, call: Call) -> Json:
        """A preview's answer."""

    def config(self, settings: Settings, tier: Tier, record: PreviewRecord | None) -> Json:
        """The limits that hold."""

    def ticket(self, value: str, expires_in_s: float) -> Json:
        """A stream ticket."""

    def problem(self, error: Problem, *, instance: str, route: str) -> Json:
        """An error."""


VIEWS: Mapping[Contract, View] = MappingProxyType({Contract.PLAN: plan, Contract.V1: v1})
