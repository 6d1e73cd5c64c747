"""Lines of logs by way of Redis, for nodes whose users read a log of another node; see docs/cluster.md.

Redis is never the truth. Each entry is signed, and a reader that finds a fault of any kind asks the owner again.
"""

from preview.logs.bus.entries import BusFault, BusStream
from preview.logs.bus.publisher import LogBus, Publication
from preview.logs.bus.reader import follow_bus

__all__ = ["BusFault", "BusStream", "LogBus", "Publication", "follow_bus"]
