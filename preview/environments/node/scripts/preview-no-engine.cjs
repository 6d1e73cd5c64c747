#!/usr/bin/env node
// Stands before the project's own `prisma` where its engine could not be downloaded. `migrate deploy` loads the project's
// migrations by the database driver that is there, and `db push` makes the tables of a new database, if the environment
// has Prisma's adapters. What needs the engine says so; all else is passed on.
'use strict';

const crypto = require('crypto');
const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const TOOL = path.join(__dirname, '..', 'prisma', 'build', 'index.js');
const NAME = /^[\w.-]+$/;
const DRIVERS = {
  postgresql: [
    ['pg', async (pg, url) => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      return { run: async (sql) => (await client.query(sql)).rows, end: () => client.end() };
    }],
  ],
  mysql: [
    ['mysql2/promise', async (mysql, url) => {
      const connection = await mysql.createConnection({ uri: url, multipleStatements: true });
      return { run: async (sql) => (await connection.query(sql))[0], end: () => connection.end() };
    }],
    ['mariadb', async (mariadb, url) => {
      const given = new URL(url);
      const connection = await mariadb.createConnection({
        host: given.hostname,
        port: Number(given.port || 3306),
        user: decodeURIComponent(given.username),
        password: decodeURIComponent(given.password),
        database: given.pathname.slice(1),
        multipleStatements: true,
      });
      return { run: (sql) => connection.query(sql), end: () => connection.end() };
    }],
  ],
  sqlite: [
    ['better-sqlite3', async (Database, url) => {
      const database = new Database(url.replace(/^file:/, ''));
      const run = async (sql) => (/^SELECT /.test(sql) ? database.prepare(sql).all() : database.exec(sql));
      return { run, end: async () => database.close() };
    }],
    ['@libsql/client', async (libsql, url) => {
      const client = libsql.createClient({ url });
      const run = async (sql) => (/^SELECT /.test(sql) ? (await client.execute(sql)).rows : client.executeMultiple(sql));
      return { run, end: async () => client.close() };
    }],
  ],
};
const TABLES = {
  postgresql: "SELECT 1 FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema') LIMIT 1",
  mysql: 'SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() LIMIT 1',
  sqlite: "SELECT 1 FROM sqlite_master WHERE type = 'table' LIMIT 1",
};
// Prisma's own tool makes the SQL of a schema without a database, once it has an adapter. Its settings have moved.
const ADAPTERS = { postgresql: ['pg', 'PrismaPg'], mysql: ['mariadb', 'PrismaMariaDb'], sqlite: ['libsql', 'PrismaLibSQL'] };
const SETTINGS = ["engine: 'js', adapter", 'adapter', 'migrate: { adapter }'];
// The table in which Prisma keeps its migrations, so that its engine can go on where this has ended.
const TIMES = {
  postgresql: ['TIMESTAMPTZ', 'now()'],
  mysql: ['DATETIME(3)', 'CURRENT_TIMESTAMP(3)'],
  sqlite: ['DATETIME', 'CURRENT_TIMESTAMP'],
};

function table([type, now]) {
  return `CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at ${type},
    migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at ${type},
    started_at ${type} NOT NULL DEFAULT ${now}, applied_steps_count INTEGER NOT NULL DEFAULT 0)`;
}

/** The project's schema, its kind of database and its address; null for a kind that this does not know. */
function given() {
  const at = process.argv.indexOf('--schema');
  const named = at > 0 ? process.argv[at + 1] : (process.argv.find((one) => one.startsWith('--schema=')) || '').slice(9);
  const schema = path.resolve(named || path.join('prisma', 'schema.prisma'));
  if (!fs.existsSync(schema)) return null;
  const isFolder = fs.statSync(schema).isDirectory();
  const files = isFolder ? fs.readdirSync(schema).map((name) => path.join(schema, name)) : [schema];
  const text = files.filter((file) => file.endsWith('.prisma')).map((file) => fs.readFileSync(file, 'utf8')).join('\n');
  const source = /\bdatasource\s+\w+\s*\{([^}]*)\}/.exec(text)?.[1] ?? '';
  const provider = /\bprovider\s*=\s*"(\w+)"/.exec(source)?.[1];
  const kind = provider === 'postgres' ? 'postgresql' : provider;
  const [, variable, fixed] = /\burl\s*=\s*(?:env\("(\w+)"\)|"([^"]*)")/.exec(source) ?? [];
  const url = fixed ?? process.env[variable ?? 'DATABASE_URL'] ?? process.env.DATABASE_URL;
  if (!Object.keys(DRIVERS).includes(kind) || !url) return null;
  // Relative paths begin in the schema's folder; since version 7 an adapter of the project reads them.
  const place = majorVersion() >= 7 ? '.' : isFolder ? schema : path.dirname(schema);
  const file = kind === 'sqlite' && path.resolve(place, url.replace(/^file:|\?.*$/g, ''));
  return { schema, kind, url: file ? `file:${file}` : url };
}

function majorVersion() {
  const manifest = path.join(path.dirname(TOOL), '..', 'package.json');
  return fs.existsSync(manifest) ? parseInt(JSON.parse(fs.readFileSync(manifest, 'utf8')).version, 10) : 0;
}

/** The names of the project's migrations in order, and their folder; null if this cannot load them. */
function migrations({ schema }) {
  const folder = [schema, path.dirname(schema), path.resolve('prisma')]
    .map((parent) => path.join(parent, 'migrations'))
    .find((one) => fs.existsSync(one));
  if (!folder) return null;
  const names = fs.readdirSync(folder).filter((name) => fs.existsSync(path.join(folder, name, 'migration.sql'))).sort();
  return names.every((name) => NAME.test(name)) ? { folder, names } : null;
}

async function connect({ kind, url }) {
  for (const [name, open] of DRIVERS[kind]) {
    let found;
    try {
      found = require(name);
    } catch {
      continue;
    }
    return open(found, url);
  }
  return null;
}

/** Load the migrations that are not loaded yet; false if there is no driver for them. */
async function deploy(one) {
  const own = migrations(one);
  const database = own && (await connect(one));
  if (!database) return false;
  try {
    await database.run(table(TIMES[one.kind]));
    const rows = await database.run('SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL');
    const done = new Set(rows.map((row) => row.migration_name));
    const now = TIMES[one.kind][1];
    for (const name of own.names.filter((each) => !done.has(each))) {
      const sql = fs.readFileSync(path.join(own.folder, name, 'migration.sql'), 'utf8');
      const hash = crypto.createHash('sha256').update(sql).digest('hex');
      if (sql.trim()) await database.run(sql);
      await database.run(
        'INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) ' +
          `VALUES ('${crypto.randomUUID()}', '${hash}', '${name}', ${now}, 1)`,
      );
      process.stdout.write(`Applied migration ${name} without Prisma's engine\n`);
    }
  } finally {
    await database.end();
  }
  return true;
}

/** Make the schema's tables in a database that has none; false if this cannot tell them. */
async function push(one) {
  const sql = tablesOf(one);
  const database = sql && (await connect(one));
  if (!database) return false;
  try {
    const isNew = (await database.run(TABLES[one.kind])).length === 0;
    if (isNew) await database.run(sql);
    const said = isNew ? 'The tables of the schema are made' : 'The database has tables already, and stays as it is';
    process.stdout.write(`${said} (without Prisma's engine)\n`);
  } finally {
    await database.end();
  }
  return true;
}

/** The SQL of a schema; empty if Prisma does not tell it. */
function tablesOf({ schema, kind }) {
  const [name, type] = ADAPTERS[kind];
  // Among the packages, which it imports: those of a workspace's member may be in a folder above.
  let folder = process.cwd();
  while (!fs.existsSync(path.join(folder, 'node_modules')) && folder !== path.dirname(folder)) folder = path.dirname(folder);
  const settings = path.join(folder, 'node_modules', '.preview-prisma.config.mjs');
  // It is opened only for a database, and this needs none.
  const adapter = `async () => new ${type}({ connectionString: 'postgresql://localhost', host: 'localhost', url: ':memory:' })`;
  const argv = ['migrate', 'diff', '--from-empty', '--to-schema-datamodel', schema, '--script', '--config', settings];
  for (const form of SETTINGS) {
    const text = [
      `import { ${type} } from '@prisma/adapter-${name}';`,
      "import { defineConfig } from 'prisma/config';",
      `const adapter = ${adapter};`,
      `export default defineConfig({ experimental: { adapter: true }, ${form} });`,
    ];
    fs.writeFileSync(settings, `${text.join('\n')}\n`);
    const done = spawnSync(process.execPath, [TOOL, ...argv], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    fs.rmSync(settings);
    const at = done.stdout.search(/^-- Create/m);
    if (done.status === 0 && at >= 0) return done.stdout.slice(at);
  }
  return '';
}

function refuse() {
  process.stderr.write(
    "Error: Prisma's engine could not be downloaded (binaries.prisma.sh): no migration is run and no table is made; let " +
      "the service's machine reach it, or set PRISMA_ENGINES_MIRROR, and clear the cache\n",
  );
  process.exitCode = 1;
}

const WORK = { 'migrate deploy': deploy, 'db push': push };
const work = WORK[process.argv.slice(2, 4).join(' ')];

if (work) {
  const one = given();
  (one ? work(one) : Promise.resolve(false)).then(
    (isDone) => isDone || refuse(),
    (error) => {
      process.stderr.write(`Error: a migration failed: ${error.message}\n`);
      process.exitCode = 1;
    },
  );
} else if (['migrate', 'db'].includes(process.argv[2]) && process.argv[3] !== 'seed') {
  refuse();
} else {
  require(TOOL);
}
