"""Requests sent again: trial previews, replay, comparison of versions, checks."""

from preview.replay.trial import TrialOptions, open_trial

__all__ = ["TrialOptions", "open_trial"]
