"""Room: auth."""
