"""Comparison of answers: differences, with those left out that two runs of the same program have too."""

from preview.replay.comparing.answer import Answer
from preview.replay.comparing.judge import Judgement, Verdict, judge
from preview.replay.comparing.rules import IgnoreRules

__all__ = ["Answer", "IgnoreRules", "Judgement", "Verdict", "judge"]
