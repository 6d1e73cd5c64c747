// MikroORM looks for a database of the name in its options, and makes it. The preview's own server leads each name to
// one database, and makes no other; so MikroORM is told that it is there. Then the project's migrations make the tables,
// or MikroORM itself where there are none; once, in an empty database. Never on a server elsewhere. The plan asks for it
// with a variable (databases.py).
'use strict';

const fs = require('fs');
const Module = require('module');
const { isOwn } = require('./entities.cjs');

const MIKRO = /(^|\/)@mikro-orm\/core$/;
const COUNT = 'SELECT count(*) AS found FROM information_schema.tables WHERE table_schema = current_schema()';

function tell(sentence) {
  fs.writeSync(1, `${sentence}\n`);
}

function shortened(error) {
  return String((error && error.message) || error).slice(0, 300).replaceAll('\n', ' ');
}

/** Run the project's migrations; false if it has none. */
async function migrate(orm) {
  // The program runs its sources, and their migrations lie there too.
  if (Module._extensions['.ts']) orm.config.set('tsNode', true);
  let pending = [];
  try {
    pending = await orm.getMigrator().getPendingMigrations();
  } catch (error) {
    // The project may do without the package for migrations.
    if (error.code !== 'MODULE_NOT_FOUND') tell(`MikroORM cannot read the migrations: ${shortened(error)}`);
  }
  if (pending.length === 0) return false;
  await orm.getMigrator().up();
  tell(`MikroORM has run the project's migrations: ${pending.length}`);
  return true;
}

/** Make the tables if there is none. An error is told, and the program goes on as it would. */
async function makeTables(orm) {
  try {
    const [row] = await orm.em.getConnection().execute(COUNT);
    if (Number(row.found) > 0 || (await migrate(orm))) return;
    await orm.getSchemaGenerator().createSchema();
    tell('no migration makes the tables: MikroORM has made those of its entities');
  } catch (error) {
    tell(`MikroORM cannot make the tables: ${shortened(error)}`);
  }
}

function watch({ Configuration, MikroORM }) {
  const { schemaGenerator, migrations } = Configuration.DEFAULTS;
  // Else it switches them off with a setting (`session_replication_role`) that only an administrator may change.
  for (const part of [schemaGenerator, migrations]) if (part) part.disableForeignKeys = false;
  const { connect } = MikroORM.prototype;
  let isDone = false;
  MikroORM.prototype.connect = async function connectWithTables(...given) {
    if (!isOwn({ url: this.config.getClientUrl() })) return connect.apply(this, given);
    this.config.getDriver().getPlatform().getSchemaHelper().databaseExists = async () => true;
    const found = await connect.apply(this, given);
    if (!isDone) {
      isDone = true;
      await makeTables(this);
    }
    return found;
  };
}

exports.prepareMikro = function prepareMikro() {
  if (!process.env.PREVIEW_MIKRO_ORM) return;
  const load = Module._load;
  let isDone = false;
  Module._load = function loadMikro(request, ...more) {
    const found = load.call(this, request, ...more);
    try {
      if (!isDone && typeof request === 'string' && MIKRO.test(request) && found.MikroORM && found.Configuration) {
        isDone = true;
        watch(found);
      }
    } catch {
      // Not the package of that name.
    }
    return found;
  };
};
