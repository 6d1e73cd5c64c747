"""Room: logs."""
