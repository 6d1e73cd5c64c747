"""Support for Flask, Quart and packages that build on it (RESTful, RESTX, Smorest, APIFlask, Classful), from source."""

from preview.endpoints.flask.framework import find_flask_apps, find_quart_apps

__all__ = ["find_flask_apps", "find_quart_apps"]
