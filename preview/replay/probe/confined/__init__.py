"""The program that makes a probe's requests and judges the answers, in a sandbox of its own.

It runs on the service's interpreter (``-I -S``), and imports nothing from ``preview``. See ``preview_probe_channel``.
"""

from preview.replay.probe.confined.paths import CONFINED, PROGRAM

__all__ = ["CONFINED", "PROGRAM"]
