// Measures clients of databases: each is changed when it is loaded. One of an unexpected form stays as it is.
'use strict';

const Module = require('module');
const { guarded, named, now, requests } = require('./shared.cjs');

const VERB = /^[\s(]*([A-Za-z]+)/;
const TABLE = /\b(?:FROM|INTO|UPDATE|TABLE|JOIN)\s+["`[]?([\w.]+)(?:["`\]]\.["`[](\w+))?/i;
const patched = new WeakSet();

function nameOf(statement) {
  const verb = VERB.exec(statement);
  const table = TABLE.exec(statement.slice(0, 4000));
  return `${verb ? verb[1].toUpperCase() : 'SQL'} ${table ? table[2] || table[1] : ''}`.trim();
}

/**
 * Measure a method whose last function is called at the end, or that returns a promise, or else ends at once; `describe`
 * returns kind, name and detail of a call, or null for one that is not measured.
 */
function measure(owner, name, describe) {
  const original = owner && owner[name];
  if (typeof original !== 'function' || patched.has(original)) return;
  function measured(...given) {
    const active = requests.getStore();
    if (active === undefined || active.isQuiet) return original.apply(this, given);
    let end = () => {};
    try {
      const described = describe(...given);
      if (described === null) return original.apply(this, given);
      const [kind, shown, detail] = described;
      const began = now();
      let isOver = false;
      end = guarded((error) => {
        if (!isOver) active.add(kind, began, shown, detail, 0, named(error));
        isOver = true;
      });
      const last = given.length - 1;
      const callback = given[last];
      if (typeof callback === 'function') {
        given[last] = function called(error, ...more) {
          end(error instanceof Error ? error : null);
          return callback.call(this, error, ...more);
        };
      }
    } catch {
      // It is not measured.
    }
    let result;
    // What the method calls itself is a part of it.
    active.isQuiet = true;
    try {
      result = original.apply(this, given);
    } catch (error) {
      end(error);
      throw error;
    } finally {
      active.isQuiet = false;
    }
    if (result instanceof Promise) {
      // The program gets the later promise: a handler of our own at the first would hide a rejection from Node.
      return result.then(
        (value) => {
          end(null);
          return value;
        },
        (error) => {
          end(error);
          throw error;
        },
      );
    }
    if (result && typeof result.once === 'function') {
      for (const event of ['end', 'close']) result.once(event, () => end(null));
    } else if (typeof given[given.length - 1] !== 'function') end(null);
    return result;
  }
  patched.add(measured);
  Object.defineProperty(measured, 'name', { value: original.name, configurable: true });
  Object.defineProperty(measured, 'length', { value: original.length, configurable: true });
  // A method that the owner inherits has no descriptor here, and programs replace it.
  const own = Object.getOwnPropertyDescriptor(owner, name) ?? { configurable: true, writable: true };
  Object.defineProperty(owner, name, { ...own, value: measured });
}

function statement(first) {
  const text = typeof first === 'string' ? first : String((first && (first.text || first.sql)) || '');
  return ['sql', nameOf(text), text];
}

// Commands that a client of Redis sends again by itself, once it is connected, are one piece of work.
const commands = new WeakSet();

function command(first) {
  if (first && typeof first === 'object') {
    if (commands.has(first)) return null;
    commands.add(first);
  }
  return [
    'cache',
    String((first && first.name) || 'COMMAND')
      .slice(0, 40)
      .toUpperCase(),
    '',
  ];
}

const LIBRARIES = [
  [
    /(^|\/node_modules\/)pg(\/lib\/index\.js)?$/,
    (found) => measure(found.Client && found.Client.prototype, 'query', statement),
  ],
  [
    /(^|\/node_modules\/)mysql2(\/index\.js|\/promise(\.js)?)?$/,
    (found) => {
      const owner = found.Connection && found.Connection.prototype;
      for (const name of ['query', 'execute']) measure(owner, name, statement);
    },
  ],
  [
    /(^|\/node_modules\/)better-sqlite3(\/lib\/index\.js)?$/,
    (found) => {
      const { prepare } = found.prototype;
      if (patched.has(prepare)) return;
      found.prototype.prepare = function prepareMeasured(text, ...more) {
        const made = prepare.call(this, text, ...more);
        const owner = Object.getPrototypeOf(made);
        for (const name of ['run', 'get', 'all']) measureStatement(owner, name);
        return made;
      };
      patched.add(found.prototype.prepare);
    },
  ],
  [
    /^node:sqlite$/,
    (found) => {
      measure(found.DatabaseSync.prototype, 'exec', statement);
      for (const name of ['run', 'get', 'all', 'iterate']) measureStatement(found.StatementSync.prototype, name);
    },
  ],
  [
    /(^|\/node_modules\/)ioredis(\/built\/index\.js)?$/,
    (found) => {
      measure((found.default || found).prototype, 'sendCommand', command);
    },
  ],
];

function measureStatement(owner, name) {
  const original = owner[name];
  if (typeof original !== 'function' || patched.has(original)) return;
  function measured(...given) {
    const active = requests.getStore();
    if (active === undefined) return original.apply(this, given);
    const began = now();
    let failure = null;
    try {
      return original.apply(this, given);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      const text = this.source || this.sourceSQL;
      guarded(() => active.add('sql', began, nameOf(text), text, 0, named(failure)))();
    }
  }
  patched.add(measured);
  owner[name] = measured;
}

/** Measure the libraries that are loaded from now on. */
module.exports = function watchLibraries() {
  const load = Module._load;
  Module._load = function loadMeasured(request, ...more) {
    const found = load.call(this, request, ...more);
    try {
      if (typeof request === 'string') {
        for (const [pattern, change] of LIBRARIES) if (pattern.test(request)) change(found);
      }
    } catch {
      // Not the package of that name.
    }
    return found;
  };
};
