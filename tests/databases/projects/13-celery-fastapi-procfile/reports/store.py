import os

import redis

client = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/2"), decode_responses=True)


def load(report_id: str) -> dict | None:
    report = client.hgetall(f"report:{report_id}")
    return {"id": report_id, **report} if report else None


def save(report_id: str, **fields: str) -> None:
    client.hset(f"report:{report_id}", mapping=fields)
