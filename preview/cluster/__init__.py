"""Nodes on one database: leases, owners of previews, and the way from any node to the owner; see docs/cluster.md."""

from preview.cluster.cluster import Cluster
from preview.cluster.credentials import NodeKey, NotANode
from preview.cluster.launch_queue import Place
from preview.cluster.links import NodeLink, accept_node
from preview.cluster.node_queue import Circumstances, busy, free_memory
from preview.cluster.nodes import Node, NodeFacts
from preview.cluster.notices import ANYTHING, LOST, Notices, wakes
from preview.cluster.opening import node_name, open_cluster
from preview.cluster.ownership import Claim, Taken
from preview.cluster.placement import NodeState, Waiting, Wants, Warmth, with_room
from preview.cluster.preview_list import ListedPreview, LivePage, Placement, PreviewList
from preview.cluster.routing import Directory, Owner, Router, Subject

__all__ = [
    "ANYTHING",
    "LOST",
    "Circumstances",
    "Claim",
    "Cluster",
    "Directory",
    "ListedPreview",
    "LivePage",
    "Node",
    "NodeFacts",
    "NodeKey",
    "NodeLink",
    "NodeState",
    "NotANode",
    "Notices",
    "Owner",
    "Place",
    "Placement",
    "PreviewList",
    "Router",
    "Subject",
    "Taken",
    "Waiting",
    "Wants",
    "Warmth",
    "accept_node",
    "busy",
    "free_memory",
    "node_name",
    "open_cluster",
    "wakes",
    "with_room",
]
