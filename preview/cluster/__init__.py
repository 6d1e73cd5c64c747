"""Many nodes on one database: the way from any node to the one that owns a preview."""
