// Finds a project's entities where TypeORM's patterns name what a build makes (`dist/**/*.entity.js`), and the
// sources run instead: nothing matches, and the program would end with "No metadata for Shop was found". Then TypeORM
// gets the sources that declare entities.
//
// Makes the tables of a project that has neither migrations nor `synchronize`: its author made them elsewhere. Only in
// an empty database of the preview's own; the plan says so with a variable (databases.py).
'use strict';

const fs = require('fs');
const Module = require('module');
const path = require('path');

const TYPEORM = /(^|\/)typeorm$/;
const DECLARES = /^\s*@(?:Entity|ViewEntity|ChildEntity)\s*\(|\bnew EntitySchema\b/m;
const SOURCE = /\.[cm]?[jt]s$/;
const OTHER = /\.d\.[cm]?ts$|[.-](?:spec|test)\.[cm]?[jt]s$/;
const SKIPPED = new Set(['node_modules', 'dist', 'build', 'out', 'test', 'tests', '__tests__', 'coverage', 'e2e']);
const MOST_ENTRIES = 20000;
const MOST_BYTES = 200000;
const MOST_FILES = 1000;
const DEEPEST = 12;
const SCHEMAS = { postgres: 'current_schema()', mysql: 'DATABASE()', mariadb: 'DATABASE()' };

/** The files below a folder that declare entities; bounded in number, size and depth, without links. */
function declaring(root) {
  const found = [];
  const folders = [[root, 0]];
  for (let seen = 0; folders.length > 0 && seen < MOST_ENTRIES; ) {
    const [folder, depth] = folders.pop();
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      seen += 1;
      const file = path.join(folder, entry.name);
      if (entry.isDirectory() && depth < DEEPEST && !SKIPPED.has(entry.name) && !entry.name.startsWith('.')) {
        folders.push([file, depth + 1]);
      } else if (entry.isFile() && SOURCE.test(entry.name) && !OTHER.test(entry.name) && declares(file)) {
        found.push(file);
      }
      if (found.length >= MOST_FILES) return found;
    }
  }
  return found.sort();
}

function declares(file) {
  return fs.statSync(file).size <= MOST_BYTES && DECLARES.test(fs.readFileSync(file, 'utf8'));
}

/** The options with the sources' entities; null if they name no files, or the project has no such source. */
function completed(options) {
  const { entities } = options || {};
  const named = Object.values(entities || {}).filter((one) => typeof one === 'string');
  if (named.length === 0 || !Module._extensions['.ts']) return null;
  const files = declaring(process.cwd());
  if (files.length === 0) return null;
  const shown = named.slice(0, 3).map((one) => one.slice(0, 200)).join(', ');
  fs.writeSync(1, `no file of entities is found at ${shown}; TypeORM gets the ${files.length} sources that declare some\n`);
  const others = Object.values(entities).filter((one) => typeof one !== 'string');
  return { ...options, entities: [...others, ...files] };
}

/** Make a data source build its entities once more if it has found none; it keeps its own options if that fails. */
function watchSource(prototype) {
  const build = prototype.buildMetadatas;
  prototype.buildMetadatas = function buildFound(...given) {
    const own = this.options;
    const goBack = (error) => {
      const reason = String((error && error.message) || error).split('\n')[0].slice(0, 200);
      fs.writeSync(1, `TypeORM cannot use these sources, and goes on without them: ${reason}\n`);
      this.options = own;
      return build.apply(this, given);
    };
    const again = (built) => {
      let options = null;
      try {
        options = this.entityMetadatas.length === 0 ? completed(this.options) : null;
      } catch {
        // A folder that cannot be read.
      }
      if (options === null) return built;
      this.options = options;
      try {
        const found = build.apply(this, given);
        return found && typeof found.then === 'function' ? found.then(undefined, goBack) : found;
      } catch (error) {
        return goBack(error);
      }
    };
    const built = build.apply(this, given);
    return built && typeof built.then === 'function' ? built.then(again) : again(built);
  };
}

/** Whether the address is this machine, or a name that leads to the preview's own servers (hosts.cjs). */
function isOwn({ host, url }) {
  const names = ['localhost', '127.0.0.1', ...(process.env.PREVIEW_SERVER_NAMES || '').split(',')];
  const given = typeof url === 'string' && URL.canParse(url) ? new URL(url).hostname : host;
  return names.includes(given || 'localhost');
}

/** Make the tables if there is none. An error is told, and the program goes on as it would. */
async function makeTables(source) {
  try {
    const { options, migrations = [] } = source;
    const schema = SCHEMAS[options.type];
    if (schema === undefined || options.synchronize || migrations.length > 0 || !isOwn(options)) return;
    const [row] = await source.query(`SELECT count(*) AS found FROM information_schema.tables WHERE table_schema = ${schema}`);
    if (Number(row.found) > 0 || source.entityMetadatas.length === 0) return;
    await source.synchronize();
    fs.writeSync(1, `no migration makes the tables: TypeORM has made those of ${source.entityMetadatas.length} entities\n`);
  } catch (error) {
    const reason = String((error && error.message) || error).split('\n')[0].slice(0, 200);
    fs.writeSync(1, `TypeORM cannot make the tables, and no migration does: ${reason}\n`);
  }
}

/** Let a data source make its tables once it is connected. Its method is `connect` before version 0.3. */
function watchConnection(prototype) {
  const name = typeof prototype.initialize === 'function' ? 'initialize' : 'connect';
  const open = prototype[name];
  prototype[name] = async function openWithTables(...given) {
    const source = await open.apply(this, given);
    await makeTables(this);
    return source;
  };
}

exports.isOwn = isOwn;

exports.findEntities = function findEntities() {
  const load = Module._load;
  let isDone = false;
  Module._load = function loadTypeorm(request, ...more) {
    const found = load.call(this, request, ...more);
    try {
      const source = typeof request === 'string' && !isDone && TYPEORM.test(request) && (found.DataSource || found.Connection);
      if (source && typeof source.prototype.buildMetadatas === 'function') {
        isDone = true;
        watchSource(source.prototype);
        if (process.env.PREVIEW_TYPEORM_TABLES) watchConnection(source.prototype);
      }
    } catch {
      // Not the package of that name.
    }
    return found;
  };
};
