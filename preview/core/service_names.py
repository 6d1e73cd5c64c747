"""Host names that projects give their servers in compose files. In a sandbox they lead to the preview's own servers."""

from __future__ import annotations

# The names of services in public compose files, most frequent first. Each is one word, so no name server has it.
SERVICE_HOSTS = (
    *("db", "postgres", "postgresql", "database", "pg", "postgres_db", "postgres-db", "postgresdb", "pgdb", "psql"),
    *("db_postgres", "db-postgres", "pgsql", "postgis", "pgvector", "timescaledb", "pg_db", "pg-db", "sqldb", "sql"),
    *("mysql", "mariadb", "mysqldb", "mysql_db", "mysql-db", "db_mysql", "db-mysql", "mysql-server", "mysql_server"),
    *("redis", "cache", "redis-server", "redis_server", "redis-cache", "redis_cache", "redis_db", "redis-db", "broker"),
    *(
        "valkey",
        "keydb",
        "queue",
        "mongo",
        "mongodb",
        "mongo_db",
        "mongo-db",
        "mongodb_container",
        "host.docker.internal",
    ),
)
