from functools import lru_cache

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    database_url: str = "sqlite+aiosqlite:///./ticketdesk.db"
    log_level: str = "INFO"

    model_config = SettingsConfigDict(env_prefix="TICKETDESK_", env_file=".env")


@lru_cache
def get_settings() -> Settings:
    return Settings()
