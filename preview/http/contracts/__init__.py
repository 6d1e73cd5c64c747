"""Models of every JSON response in both contracts: keys, schema and source of each."""

from preview.http.contracts.both import ANSWERS
from preview.http.contracts.shared import Facts

__all__ = ["ANSWERS", "Facts"]
