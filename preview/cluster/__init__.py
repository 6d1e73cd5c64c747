"""Nodes on one database: leases, owners of previews, and the way from any node to the owner; see docs/cluster.md."""

from preview.cluster.cluster import Cluster
from preview.cluster.credentials import NodeKey, NotANode
from preview.cluster.links import NodeLink, accept_node
from preview.cluster.nodes import Node, NodeFacts
from preview.cluster.notices import ANYTHING
from preview.cluster.opening import node_name, open_cluster
from preview.cluster.ownership import Taken
from preview.cluster.routing import Directory, Owner, Router, Subject

__all__ = [
    "ANYTHING",
    "Cluster",
    "Directory",
    "Node",
    "NodeFacts",
    "NodeKey",
    "NodeLink",
    "NotANode",
    "Owner",
    "Router",
    "Subject",
    "Taken",
    "accept_node",
    "node_name",
    "open_cluster",
]
