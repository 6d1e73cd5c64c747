"""Recorded requests sent again, in order, with the tokens and ids of the new answers."""

from preview.replay.sending.credentials import Credentials
from preview.replay.sending.sequence import MOST_REQUESTS, SAFE_METHODS, Send, Sent, Step, run_sequence

__all__ = ["MOST_REQUESTS", "SAFE_METHODS", "Credentials", "Send", "Sent", "Step", "run_sequence"]
