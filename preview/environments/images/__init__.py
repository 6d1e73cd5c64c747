"""Images of projects that bring a Dockerfile: built by the container engine, and cached by their content."""

from preview.environments.images.cache import ImageCache, open_images

__all__ = ["ImageCache", "open_images"]
