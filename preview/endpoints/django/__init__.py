"""Django, the REST framework and Ninja, read from source."""

from preview.endpoints.django.find import find_django_apps

__all__ = ["find_django_apps"]
