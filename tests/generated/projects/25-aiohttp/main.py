import logging

import aiosqlite
from aiohttp import web

from handlers import SensorView, routes

logging.basicConfig(level=logging.INFO)


async def database(app: web.Application):
    app["db"] = await aiosqlite.connect("sensors.db")
    await app["db"].execute(
        "CREATE TABLE IF NOT EXISTS sensors (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, unit TEXT)"
    )
    await app["db"].commit()
    yield
    await app["db"].close()


def create_app() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(database)
    app.add_routes(routes)
    app.router.add_view(r"/api/sensors/{sensor_id:\d+}", SensorView)
    return app


if __name__ == "__main__":
    web.run_app(create_app(), host="0.0.0.0", port=8080)
