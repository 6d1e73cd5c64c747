from contextlib import asynccontextmanager

import databases
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

database = databases.Database("sqlite+aiosqlite:///reading.db")


@asynccontextmanager
async def lifespan(app):
    await database.connect()
    await database.execute(
        "CREATE TABLE IF NOT EXISTS articles (id INTEGER PRIMARY KEY, url TEXT NOT NULL, finished INTEGER DEFAULT 0)"
    )
    yield
    await database.disconnect()


async def find(article_id: int) -> dict:
    row = await database.fetch_one("SELECT * FROM articles WHERE id = :id", {"id": article_id})
    if row is None:
        raise HTTPException(404, "Article not found")
    return {"id": row["id"], "url": row["url"], "finished": bool(row["finished"])}


async def homepage(request: Request) -> JSONResponse:
    return JSONResponse({"hello": "reader"})


async def list_articles(request: Request) -> JSONResponse:
    rows = await database.fetch_all("SELECT id FROM articles ORDER BY id")
    return JSONResponse([await find(row["id"]) for row in rows])


async def create_article(request: Request) -> JSONResponse:
    data = await request.json()
    article_id = await database.execute("INSERT INTO articles (url) VALUES (:url)", {"url": data["url"]})
    return JSONResponse(await find(article_id), status_code=201)


class Article(HTTPEndpoint):
    async def get(self, request: Request) -> JSONResponse:
        return JSONResponse(await find(request.path_params["article_id"]))

    async def patch(self, request: Request) -> JSONResponse:
        article_id = request.path_params["article_id"]
        data = await request.json()
        await database.execute(
            "UPDATE articles SET finished = :finished WHERE id = :id",
            {"finished": int(data["finished"]), "id": article_id},
        )
        return JSONResponse(await find(article_id))

    async def delete(self, request: Request) -> Response:
        await database.execute("DELETE FROM articles WHERE id = :id", {"id": request.path_params["article_id"]})
        return Response(status_code=204)


routes = [
    Route("/", homepage),
    Mount(
        "/api",
        routes=[
            Route("/articles", list_articles, methods=["GET"]),
            Route("/articles", create_article, methods=["POST"]),
            Route("/articles/{article_id:int}", Article),
        ],
    ),
]

app = Starlette(
    debug=True,
    routes=routes,
    lifespan=lifespan,
    middleware=[Middleware(CORSMiddleware, allow_origins=["*"])],
)
