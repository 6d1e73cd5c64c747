"""Settings, read once from the environment."""

import os
from dataclasses import dataclass, field

API_PREFIX = "/api/v1"


def _origins() -> list[str]:
    value = os.environ.get("CORS_ORIGINS", "http://localhost:5173,http://localhost:3000")
    return [origin.strip() for origin in value.split(",") if origin.strip()]


@dataclass(frozen=True)
class Config:
    database_url: str = field(default_factory=lambda: os.environ.get("DATABASE_URL") or "sqlite:///./bookshop.db")
    log_level: str = field(default_factory=lambda: os.environ.get("LOG_LEVEL", "INFO").upper())
    cors_origins: list[str] = field(default_factory=_origins)
    stock_check_interval: float = field(default_factory=lambda: float(os.environ.get("STOCK_CHECK_INTERVAL", "30")))


config = Config()
