from aiohttp import web

routes = web.RouteTableDef()


async def fetch(request: web.Request, sensor_id: int) -> dict:
    async with request.app["db"].execute("SELECT id, name, unit FROM sensors WHERE id = ?", (sensor_id,)) as cursor:
        row = await cursor.fetchone()
    if row is None:
        raise web.HTTPNotFound(reason="Sensor not found")
    return dict(zip(("id", "name", "unit"), row))


@routes.get("/")
async def index(request: web.Request) -> web.Response:
    return web.json_response({"service": "sensor-hub"})


@routes.get("/api/sensors")
async def list_sensors(request: web.Request) -> web.Response:
    async with request.app["db"].execute("SELECT id, name, unit FROM sensors ORDER BY id") as cursor:
        rows = await cursor.fetchall()
    return web.json_response([dict(zip(("id", "name", "unit"), row)) for row in rows])


@routes.post("/api/sensors")
async def create_sensor(request: web.Request) -> web.Response:
    data = await request.json()
    if "name" not in data:
        return web.json_response({"error": "name is required"}, status=400)
    db = request.app["db"]
    cursor = await db.execute(
        "INSERT INTO sensors (name, unit) VALUES (?, ?)", (data["name"], data.get("unit", "C"))
    )
    await db.commit()
    return web.json_response(await fetch(request, cursor.lastrowid), status=201)


class SensorView(web.View):
    @property
    def sensor_id(self) -> int:
        return int(self.request.match_info["sensor_id"])

    async def get(self) -> web.Response:
        return web.json_response(await fetch(self.request, self.sensor_id))

    async def put(self) -> web.Response:
        await fetch(self.request, self.sensor_id)
        data = await self.request.json()
        db = self.request.app["db"]
        await db.execute("UPDATE sensors SET name = ? WHERE id = ?", (data["name"], self.sensor_id))
        await db.commit()
        return web.json_response(await fetch(self.request, self.sensor_id))

    async def delete(self) -> web.Response:
        db = self.request.app["db"]
        await db.execute("DELETE FROM sensors WHERE id = ?", (self.sensor_id,))
        await db.commit()
        return web.Response(status=204)
