"""Values and choices for servers that the preview gets: PostgreSQL, MySQL, Redis.

Every port of the preview's loopback leads to such a server, under any user, password and database name.
"""

__all__: list[str] = []
