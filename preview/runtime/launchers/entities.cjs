// Finds a project's entities where TypeORM's patterns name what a build makes (`dist/**/*.entity.js`), and the
// sources run instead: nothing matches, and the program would end with "No metadata for Shop was found". Then TypeORM
// gets the sources that declare entities.
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
      }
    } catch {
      // Not the package of that name.
    }
    return found;
  };
};
