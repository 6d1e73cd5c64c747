"""Room: supervisor."""
