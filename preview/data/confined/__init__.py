"""Programs that read what a preview has stored, in a sandbox of their own, for the service.

Each is started by its path, on the service's interpreter (``-I -S``), and imports nothing from ``preview``. The request
is a JSON text in the variable ``PREVIEW_REQUEST``; the answer is one line of JSON.
"""

from preview.data.confined.paths import COMPARE, CONFINED, SQLITE

__all__ = ["COMPARE", "CONFINED", "SQLITE"]
