"""The two documents as pure views: records in, JSON-ready dicts out."""

from preview.http.contracts.facts import Facts
from preview.http.contracts.view import VIEWS, View

__all__ = ["VIEWS", "Facts", "View"]
