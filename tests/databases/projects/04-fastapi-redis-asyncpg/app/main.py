import json
from contextlib import asynccontextmanager

import asyncpg
import redis.asyncio as redis
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

POSTGRES_DSN = "postgres://weather:weather@postgres:5432/weather"
REDIS_URL = "redis://:secret@redis:6379/0"
CACHE_SECONDS = 60

SCHEMA = """
CREATE TABLE IF NOT EXISTS stations (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    altitude DOUBLE PRECISION NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS measurements (
    station_id BIGINT NOT NULL REFERENCES stations ON DELETE CASCADE,
    measured_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    celsius DOUBLE PRECISION NOT NULL
);
"""


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await asyncpg.create_pool(POSTGRES_DSN, min_size=2, max_size=10)
    app.state.cache = redis.from_url(REDIS_URL, decode_responses=True)
    await app.state.cache.ping()
    async with app.state.pool.acquire() as connection:
        await connection.execute(SCHEMA)
    yield
    await app.state.cache.aclose()
    await app.state.pool.close()


app = FastAPI(title="Weather stations", lifespan=lifespan)


class StationIn(BaseModel):
    name: str
    altitude: float = 0


class Measurement(BaseModel):
    celsius: float


@app.get("/health")
async def health(request: Request):
    return {
        "postgres": await request.app.state.pool.fetchval("SELECT version()"),
        "redis": (await request.app.state.cache.info("server"))["redis_version"],
    }


@app.get("/stations")
async def list_stations(request: Request):
    return [dict(row) for row in await request.app.state.pool.fetch("SELECT * FROM stations ORDER BY id")]


@app.post("/stations", status_code=201)
async def create_station(station: StationIn, request: Request):
    try:
        row = await request.app.state.pool.fetchrow(
            "INSERT INTO stations (name, altitude) VALUES ($1, $2) RETURNING *", station.name, station.altitude
        )
    except asyncpg.UniqueViolationError:
        raise HTTPException(409, "A station of this name exists")
    return dict(row)


@app.put("/stations/{station_id}")
async def update_station(station_id: int, station: StationIn, request: Request):
    row = await request.app.state.pool.fetchrow(
        "UPDATE stations SET name = $2, altitude = $3 WHERE id = $1 RETURNING *",
        station_id,
        station.name,
        station.altitude,
    )
    if row is None:
        raise HTTPException(404, "Station not found")
    await request.app.state.cache.delete(f"summary:{station_id}")
    return dict(row)


@app.post("/stations/{station_id}/measurements", status_code=201)
async def add_measurement(station_id: int, measurement: Measurement, request: Request):
    try:
        async with request.app.state.pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                "INSERT INTO measurements (station_id, celsius) VALUES ($1, $2) RETURNING *",
                station_id,
                measurement.celsius,
            )
    except asyncpg.ForeignKeyViolationError:
        raise HTTPException(404, "Station not found")
    return dict(row)


@app.get("/stations/{station_id}/summary")
async def summary(station_id: int, request: Request, response: Response):
    key = f"summary:{station_id}"
    cached = await request.app.state.cache.get(key)
    if cached is not None:
        return {**json.loads(cached), "cached": True}
    row = await request.app.state.pool.fetchrow(
        """
        SELECT s.name, count(m.celsius) AS count, avg(m.celsius) AS mean
        FROM stations s LEFT JOIN measurements m ON m.station_id = s.id
        WHERE s.id = $1 GROUP BY s.id
        """,
        station_id,
    )
    if row is None:
        raise HTTPException(404, "Station not found")
    await request.app.state.cache.set(key, json.dumps(dict(row)), ex=CACHE_SECONDS)
    return {**dict(row), "cached": False}


@app.delete("/stations/{station_id}", status_code=204)
async def delete_station(station_id: int, request: Request):
    done = await request.app.state.pool.execute("DELETE FROM stations WHERE id = $1", station_id)
    if done == "DELETE 0":
        raise HTTPException(404, "Station not found")
    await request.app.state.cache.delete(f"summary:{station_id}")
