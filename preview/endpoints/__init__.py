"""Room: endpoints."""
