"""Detection of Node projects."""

from preview.detection.node.detect import detect_node

__all__ = ["detect_node"]
