"""The two documents as pure views: records in, JSON-ready dicts out."""

from preview.http.contracts.view import VIEWS, Facts, View

__all__ = ["VIEWS", "Facts", "View"]
