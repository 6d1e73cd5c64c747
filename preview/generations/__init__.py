"""Room: generations."""
