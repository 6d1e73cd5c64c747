"""Alembic's scripts: ``env.py``, and one file a revision in ``versions/``."""

__all__: list[str] = []
