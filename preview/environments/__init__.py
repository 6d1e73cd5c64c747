"""Room: environments."""
