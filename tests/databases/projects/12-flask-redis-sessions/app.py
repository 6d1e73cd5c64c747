import os
import secrets

import redis
from flask import Flask, jsonify, redirect, request, session
from flask_session import Session

app = Flask(__name__)

client = redis.Redis(
    host=os.environ.get("REDIS_HOST", "redis"),
    port=int(os.environ.get("REDIS_PORT", 6379)),
    password=os.environ.get("REDIS_PASSWORD") or None,
)

app.config["SESSION_TYPE"] = "redis"
app.config["SESSION_PERMANENT"] = False
app.config["SESSION_REDIS"] = client
Session(app)


def load(code):
    found = client.hgetall(f"link:{code}")
    if not found:
        return None
    return {
        "code": code,
        "url": found[b"url"].decode(),
        "clicks": int(client.zscore("clicks", code) or 0),
    }


@app.get("/")
def index():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(redis_version=client.info("server")["redis_version"], visits=session["visits"])


@app.get("/links")
def list_links():
    return jsonify([load(code.decode()) for code in client.zrevrange("clicks", 0, -1)])


@app.post("/links")
def create_link():
    url = (request.get_json(silent=True) or {}).get("url")
    if not url:
        return jsonify(error="url is required"), 400
    code = secrets.token_hex(3)
    with client.pipeline(transaction=True) as pipe:
        pipe.hset(f"link:{code}", mapping={"url": url})
        pipe.zadd("clicks", {code: 0})
        pipe.execute()
    return jsonify(load(code)), 201


@app.get("/links/<code>")
def show_link(code):
    link = load(code)
    return (jsonify(link), 200) if link else (jsonify(error="not found"), 404)


@app.put("/links/<code>")
def update_link(code):
    if not client.exists(f"link:{code}"):
        return jsonify(error="not found"), 404
    client.hset(f"link:{code}", "url", request.get_json()["url"])
    return jsonify(load(code))


@app.get("/go/<code>")
def go(code):
    link = load(code)
    if link is None:
        return jsonify(error="not found"), 404
    client.zincrby("clicks", 1, code)
    return redirect(link["url"])


@app.delete("/links/<code>")
def delete_link(code):
    client.delete(f"link:{code}")
    client.zrem("clicks", code)
    return "", 204
