"""Configuration and programs of those that streams are compared with, as their own documents show them."""

from __future__ import annotations

__all__ = ["NGINX_CONF", "NODE_PROGRAM", "STARLETTE_PROGRAM", "STARLETTE_REQUIREMENTS"]

# One worker, as each of the others has one process. The buffer holds more than any run posts: nothing may be lost.
NGINX_CONF = """
daemon off;
master_process on;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
load_module {module};
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    tcp_nodelay on;
    keepalive_requests 100000000;
    nchan_shared_memory_size 512M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /publish {{
            nchan_publisher http;
            nchan_channel_id log;
            nchan_message_buffer_length 200000;
            nchan_message_timeout 10m;
        }}
        location = /stream {{
            nchan_subscriber eventsource;
            nchan_channel_id log;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""

STARLETTE_REQUIREMENTS = ["starlette", "sse-starlette", "uvicorn[standard]"]

# One queue for each subscriber; uvicorn with uvloop and httptools, which "standard" installs.
STARLETTE_PROGRAM = """
import asyncio, contextlib, json, sys
import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.routing import Route

queues = set()

async def read():
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    number = 0
    while line := await reader.readline():
        number += 1
        event = {"id": str(number), "data": json.dumps({
            "timestamp": "2026-01-01T00:00:00.000Z", "level": "INFO",
            "message": line.decode().rstrip("\\n"), "source": "subprocess"})}
        for queue in queues:
            queue.put_nowait(event)

async def events():
    queue = asyncio.Queue()
    queues.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)

async def stream(request):
    return EventSourceResponse(events())

@contextlib.asynccontextmanager
async def lifespan(app):
    task = asyncio.create_task(read())
    yield
    task.cancel()

app = Starlette(routes=[Route("/stream", stream)], lifespan=lifespan)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False, backlog=4096)
"""

NODE_PROGRAM = """
const http = require('node:http')
const readline = require('node:readline')
const subscribers = new Set()
http.createServer((request, response) => {
  response.writeHead(200, {'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache'})
  response.flushHeaders()
  subscribers.add(response)
  response.on('close', () => subscribers.delete(response))
}).listen({port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096})
let number = 0
readline.createInterface({input: process.stdin}).on('line', (line) => {
  number += 1
  const data = {timestamp: '2026-01-01T00:00:00.000Z', level: 'INFO', message: line, source: 'subprocess'}
  const frame = `id: ${number}\\ndata: ${JSON.stringify(data)}\\n\\n`
  for (const response of subscribers) response.write(frame)
})
"""
