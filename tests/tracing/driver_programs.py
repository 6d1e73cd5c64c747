"""Programs that use real drivers of databases within one traced request, and print the spans."""

from __future__ import annotations

__all__ = ["MONGO", "NODE", "PRISMA", "PRISMA_FILES", "PYTHON"]

_HEAD = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
import preview_control
sent = []
tracer = preview_control.load_beside("preview_trace", "tracing").start(lambda message: sent.append(message) or True)
at = json.loads(sys.argv[2])
def traced(work):
    work()
    assert not sent
    active = tracer.begin("GET", "/", "", "r1", "")
    work()
    active.end(200)
    print(json.dumps([json.loads(line.split(b" ", 2)[2]) for line in b"".join(sent).splitlines()]))
"""
PYTHON = (
    _HEAD
    + """
import aiomysql, aiosqlite, asyncpg, psycopg, psycopg2, psycopg2.extras, pymysql, redis, redis.asyncio
host, port = at["postgres"].rsplit("/", 1)[0], 5432
words = f"host={at['postgres']} user=preview dbname=postgres"
class Own(psycopg2.extensions.connection): pass
def postgres():
    for options in ({}, {"connection_factory": Own}, {"cursor_factory": psycopg2.extras.DictCursor}):
        connection = psycopg2.connect(words, **options)
        with connection.cursor() as cursor:
            cursor.execute("select %s as psycopg2", ("secret",))
            assert cursor.fetchone()[0] == "secret"
            if options: continue
            try:
                cursor.execute("select psycopg2_wrong")
            except psycopg2.Error as error:
                assert type(error).__name__ == "UndefinedColumn"
        assert not isinstance(connection, Own) or options
        connection.close()
    # As the connection factory's second place.
    assert isinstance(psycopg2.connect(words, Own), Own)
    with psycopg.connect(words) as connection:
        assert connection.execute("select %s::text as psycopg", ("secret",)).fetchone() == ("secret",)
async def later():
    connection = await asyncpg.connect(host=at["postgres"], user="preview", database="postgres")
    assert await connection.fetchval("select $1::text as asyncpg", "secret") == "secret"
    await connection.close()
    async with await psycopg.AsyncConnection.connect(words) as connection:
        await connection.execute("select %s::text as psycopg_async", ("secret",))
    async with aiosqlite.connect(":memory:") as connection:
        async with connection.execute("select ? as aiosqlite", ("secret",)) as cursor:
            assert await cursor.fetchone() == ("secret",)
    connection = await aiomysql.connect(unix_socket=at["mariadb"], user="root")
    async with connection.cursor() as cursor:
        await cursor.execute("select %s as aiomysql", ("secret",))
    connection.close()
    client = redis.asyncio.Redis(unix_socket_path=at["redis"])
    await client.set("key", "secret")
    await client.aclose()
def work():
    postgres()
    connection = pymysql.connect(unix_socket=at["mariadb"], user="root")
    with connection.cursor() as cursor:
        cursor.execute("select %s as pymysql", ("secret",))
        assert cursor.fetchone() == ("secret",)
    client = redis.Redis(unix_socket_path=at["redis"])
    assert client.get("none") is None
    with client.pipeline() as several:
        several.set("key", "secret").get("key")
        assert several.execute()[1] == b"secret"
    asyncio.run(later())
traced(work)
"""
)
MONGO = (
    _HEAD
    + """
import socketserver, struct, threading, bson, pymongo
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
class Handler(socketserver.BaseRequestHandler):
    # OP_MSG with one section (mongodb.com, "MongoDB Wire Protocol"); the first one of a connection may be OP_QUERY.
    def exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.request.recv(size - len(data))
            if not part: raise SystemExit
            data += part
        return data
    def handle(self):
        while True:
            size, number, _, code = struct.unpack("<iiii", self.exactly(16))
            body = self.exactly(size - 16)
            start = 5 if code == 2013 else body.index(b"\\0", 4) + 9
            asked = bson.decode(body[start : start + struct.unpack("<i", body[start : start + 4])[0]])
            answer = {"ok": 1, "isWritablePrimary": True, "ismaster": True, "maxWireVersion": 25, "minWireVersion": 0,
                      "maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000}
            if "find" in asked:
                answer = {"ok": 1, "cursor": {"id": 0, "ns": "shop.books", "firstBatch": [{"_id": 1}]}}
            elif "insert" in asked:
                answer = {"ok": 0, "code": 13, "errmsg": "not authorized", "n": 0}
            text = bson.encode(answer)
            if code == 2013:
                reply, kind = struct.pack("<iB", 0, 0) + text, 2013
            else:
                reply, kind = struct.pack("<iqii", 0, 0, 0, 1) + text, 1
            self.request.sendall(struct.pack("<iiii", 16 + len(reply), 1, number, kind) + reply)
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
books = pymongo.MongoClient("127.0.0.1", server.server_address[1]).shop.books
def work():
    assert list(books.find({"author": "secret", "year": {"$gt": 5}})) == [{"_id": 1}]
    try:
        books.insert_one({"name": "secret"})
    except pymongo.errors.OperationFailure:
        return
    raise SystemExit("no error")
traced(work)
"""
)
NODE = """
const trace = require(`${process.argv[2]}/tracing/trace.cjs`);
trace.watch();
const assert = require('assert');
const { EventEmitter } = require('events');
const Module = require('module');
const at = JSON.parse(process.argv[3]);
const lines = [];
trace.sendOver({ writableLength: 0, destroyed: false, write: (line) => lines.push(line) });
const has = (name) => at.only.includes(name);
async function postgres() {
  const { Client, Pool } = require('pg');
  const client = new Client({ host: at.postgres, user: 'preview', database: 'postgres' });
  await client.connect();
  const asked = { text: 'select $1::text as pg', values: ['secret'] };
  assert.equal((await client.query(asked)).rows[0].pg, 'secret');
  await new Promise((done) => client.query('select $1::text as called', ['secret'], done));
  await assert.rejects(client.query('select pg_wrong'));
  await client.end();
  const pool = new Pool({ host: at.postgres, user: 'preview', database: 'postgres' });
  assert.equal((await pool.query('select $1::text as pool', ['secret'])).rows[0].pool, 'secret');
  await pool.end();
}
async function mysql() {
  const usual = require('mysql2');
  const later = await require('mysql2/promise').createConnection({ socketPath: at.mariadb, user: 'root' });
  assert.equal((await later.query('select ? as mysql2', ['secret']))[0][0].mysql2, 'secret');
  assert.equal((await later.execute('select ? as prepared', ['secret']))[0][0].prepared, 'secret');
  await assert.rejects(later.query('select mysql2_wrong'));
  await later.end();
  const client = usual.createConnection({ socketPath: at.mariadb, user: 'root' });
  await new Promise((done) => client.query('select ? as called', ['secret'], done));
  // A stream of rows.
  const stream = client.query('select ? as streamed', ['secret']).stream();
  for await (const row of stream) assert.equal(row.streamed, 'secret');
  client.end();
}
async function redis() {
  const Redis = require('ioredis');
  const client = new Redis(at.redis);
  await client.set('key', 'secret');
  assert.equal(await client.get('key'), 'secret');
  await assert.rejects(client.hget('key', 'field'));
  await client.quit();
}
function sqlite() {
  const Database = require('better-sqlite3');
  const db = new Database(':memory:');
  db.exec('create table books (name text)');
  db.prepare('insert into books values (?)').run('secret');
  assert.equal(db.prepare('select name from books').get().name, 'secret');
  assert.equal(db.prepare('select * from books').all().length, 1);
  assert.throws(() => db.prepare('insert into books values (?)').run());
}
function own() {
  const { DatabaseSync } = require('node:sqlite');
  const db = new DatabaseSync(':memory:');
  db.exec('create table books (name text)');
  db.prepare('insert into books values (?)').run('secret');
  assert.equal(db.prepare('select name from books').get().name, 'secret');
  assert.throws(() => db.exec('wrong'));
}
async function work() {
  if (has('pg')) await postgres();
  if (has('mysql2')) await mysql();
  if (has('ioredis')) await redis();
  if (has('better-sqlite3')) sqlite();
  if (has('node:sqlite')) own();
}
const response = Object.assign(new EventEmitter(), { headersSent: true, statusCode: 200, writableFinished: true });
(async () => {
  await work();
  assert.deepEqual(lines, []);
  await trace.run({ headers: {}, method: 'GET', url: '/' }, response, work);
  response.emit('close');
  process.stdout.write(JSON.stringify(lines.map((line) => JSON.parse(line.split(' ').slice(2).join(' ')))));
})();
"""
PRISMA_FILES = {
    "package.json": "{}",
    "prisma.config.ts": 'export default { schema: "schema.prisma", datasource: { url: "postgresql://none/none" } };',
    "schema.prisma": """
generator client { provider = "prisma-client-js" }
datasource db { provider = "postgresql" }
model Author {
  id Int @id @default(autoincrement())
  name String
  books Book[]
}
model Book {
  id Int @id @default(autoincrement())
  author Author @relation(fields: [authorId], references: [id])
  authorId Int
}
""".replace("{ provider", "{\n  provider").replace('" }', '"\n}'),
    "tables.sql": """
create schema prisma;
create table prisma."Author" (id serial primary key, name text not null);
create table prisma."Book" (id serial primary key, "authorId" int not null);
insert into prisma."Author" (name) select 'secret' from generate_series(1, 5);
insert into prisma."Book" ("authorId") select id from prisma."Author";
""",
}
PRISMA = """
const trace = require(`${process.argv[2]}/tracing/trace.cjs`);
trace.watch();
const { EventEmitter } = require('events');
const at = JSON.parse(process.argv[3]);
const lines = [];
trace.sendOver({ writableLength: 0, destroyed: false, write: (line) => lines.push(line) });
const { PrismaClient } = require('@prisma/client');
const { PrismaPg } = require('@prisma/adapter-pg');
const place = { host: at.postgres, user: 'preview', database: 'postgres' };
const prisma = new PrismaClient({ adapter: new PrismaPg(place, { schema: 'prisma' }) });
async function work() {
  const books = await prisma.book.findMany();
  for (const book of books) await prisma.author.findUnique({ where: { id: book.authorId } });
  await prisma.author.create({ data: { id: 1, name: 'secret' } }).catch(() => {});
}
const response = Object.assign(new EventEmitter(), { headersSent: true, statusCode: 200, writableFinished: true });
(async () => {
  await trace.run({ headers: {}, method: 'GET', url: '/' }, response, work);
  response.emit('close');
  process.stdout.write(JSON.stringify(lines.map((line) => JSON.parse(line.split(' ').slice(2).join(' ')))));
  await prisma.$disconnect();
})();
"""
