"""Measurements of previews: series for charts, kept in the database beyond a preview's end."""

from preview.traffic.measurements.keeping import KeptSeries, SeriesKeeper
from preview.traffic.measurements.series import Durations, PreviewSeries, findings

__all__ = ["Durations", "KeptSeries", "PreviewSeries", "SeriesKeeper", "findings"]
