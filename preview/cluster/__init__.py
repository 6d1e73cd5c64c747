"""Many nodes on one database: the way from any node to the one that owns a preview."""

from preview.cluster.credentials import NodeKey, NotANode
from preview.cluster.links import NodeLink, accept_node
from preview.cluster.routing import Directory, Owner, Router, Subject

__all__ = ["Directory", "NodeKey", "NodeLink", "NotANode", "Owner", "Router", "Subject", "accept_node"]
