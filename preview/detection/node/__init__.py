"""How Node projects start."""

from preview.detection.node.detect import detect_node

__all__ = ["detect_node"]
