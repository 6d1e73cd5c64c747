"""Room: proxy."""
