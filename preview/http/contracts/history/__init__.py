"""Models of the responses about versions and launches; only contract ``v1`` has them."""

from preview.http.contracts.history.versions import VersionDetail, VersionDiff, VersionList

__all__ = ["VersionDetail", "VersionDiff", "VersionList"]
