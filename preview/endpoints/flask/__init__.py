"""Flask and what builds on it (RESTful, RESTX, Smorest, APIFlask, Classful), read from source."""

from preview.endpoints.flask.framework import find_flask_apps

__all__ = ["find_flask_apps"]
