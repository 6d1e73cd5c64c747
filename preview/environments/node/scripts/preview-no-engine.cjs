#!/usr/bin/env node
// Stands before the project's own `prisma` where its engine could not be downloaded. `migrate deploy` loads the project's
// migrations by the database driver that the project has; what needs the engine says so; all else is passed on.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

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
};
// The table in which Prisma keeps its migrations, so that its engine can go on where this has ended.
const TIMES = { postgresql: ['TIMESTAMPTZ', 'now()'], mysql: ['DATETIME(3)', 'CURRENT_TIMESTAMP(3)'] };

function table([type, now]) {
  return `CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at ${type},
    migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at ${type},
    started_at ${type} NOT NULL DEFAULT ${now}, applied_steps_count INTEGER NOT NULL DEFAULT 0)`;
}

/** The project's migrations in order, its kind of database and its address; null if this cannot load them. */
function plan() {
  const at = process.argv.indexOf('--schema');
  const schema = path.resolve(at > 0 ? process.argv[at + 1] : path.join('prisma', 'schema.prisma'));
  if (!fs.existsSync(schema)) return null;
  const isFolder = fs.statSync(schema).isDirectory();
  const files = isFolder ? fs.readdirSync(schema).map((name) => path.join(schema, name)) : [schema];
  const text = files.filter((file) => file.endsWith('.prisma')).map((file) => fs.readFileSync(file, 'utf8')).join('\n');
  const source = /\bdatasource\s+\w+\s*\{([^}]*)\}/.exec(text)?.[1] ?? '';
  const provider = /\bprovider\s*=\s*"(\w+)"/.exec(source)?.[1];
  const kind = provider === 'postgres' ? 'postgresql' : provider;
  const named = /\burl\s*=\s*env\("(\w+)"\)/.exec(source)?.[1];
  const url = process.env[named ?? 'DATABASE_URL'] ?? process.env.DATABASE_URL;
  const folder = [schema, path.dirname(schema), path.resolve('prisma')]
    .map((parent) => path.join(parent, 'migrations'))
    .find((one) => fs.existsSync(one));
  if (!Object.keys(DRIVERS).includes(kind) || !url || !folder) return null;
  const names = fs.readdirSync(folder).filter((name) => fs.existsSync(path.join(folder, name, 'migration.sql'))).sort();
  if (!names.every((name) => NAME.test(name))) return null;
  return { kind, url, folder, names };
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
async function deploy() {
  const given = plan();
  const database = given && (await connect(given));
  if (!database) return false;
  try {
    await database.run(table(TIMES[given.kind]));
    const rows = await database.run('SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL');
    const done = new Set(rows.map((row) => row.migration_name));
    const now = TIMES[given.kind][1];
    for (const name of given.names.filter((one) => !done.has(one))) {
      const sql = fs.readFileSync(path.join(given.folder, name, 'migration.sql'), 'utf8');
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

function refuse() {
  process.stderr.write(
    "Error: Prisma's engine could not be downloaded (binaries.prisma.sh): no migration is run and no table is made; let " +
      "the service's machine reach it, or set PRISMA_ENGINES_MIRROR, and clear the cache\n",
  );
  process.exitCode = 1;
}

if (process.argv[2] === 'migrate' && process.argv[3] === 'deploy') {
  deploy().then(
    (isDone) => isDone || refuse(),
    (error) => {
      process.stderr.write(`Error: a migration failed: ${error.message}\n`);
      process.exitCode = 1;
    },
  );
} else if (['migrate', 'db'].includes(process.argv[2])) {
  refuse();
} else {
  require(path.join(__dirname, '..', 'prisma', 'build', 'index.js'));
}
