"""Express (JavaScript and TypeScript), read from source."""

from preview.endpoints.express.find import find_express_apps

__all__ = ["find_express_apps"]
