// Notes which variables the program's own code reads and finds without a value; one line on standard error names them
// if the program fails before it serves. See preview_serving.py.
//
// A missing variable is looked up in the prototype of `process.env`: values are read, and set, as ever.
'use strict';

const fs = require('fs');
const path = require('path');
const { isMainThread } = require('worker_threads');

const MOST = 40;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,80}$/;
const FRAMES = 30;
const PLACE = /\(?(?:file:\/\/)?(\/[^()]{1,1000}):\d{1,9}:\d{1,9}\)?$/;
const MOST_FILES = 200;
const MOST_BYTES = 1_000_000;
// Programs that only start the program.
const TOOLS = /(?:^|\/)(?:npm-cli|npx-cli|yarn|pnpm|nodemon|concurrently|cross-env|ts-node-dev)(?:\.c?js)?$/;

// The program may replace the global one.
const Usual = Error;

/** Return the lines of the stack as Node writes it; the program may have another writer (`prepareStackTrace`). */
function stackLines() {
  const { prepareStackTrace, stackTraceLimit } = Usual;
  try {
    if (prepareStackTrace !== undefined) Usual.prepareStackTrace = undefined;
    Usual.stackTraceLimit = FRAMES;
    return String(new Usual().stack).split('\n').slice(1);
  } finally {
    if (prepareStackTrace !== undefined) Usual.prepareStackTrace = prepareStackTrace;
    Usual.stackTraceLimit = stackTraceLimit;
  }
}

/** Return true if the package's file of a line of the stack has the name itself; then it is the package's own. */
function names(line, name, texts) {
  const file = PLACE.exec(line)?.[1];
  if (file === undefined) return false;
  if (!texts.has(file)) {
    let text = '';
    try {
      if (texts.size < MOST_FILES && fs.statSync(file).size <= MOST_BYTES) text = fs.readFileSync(file, 'latin1');
    } catch {
      // A source map may name a file that is not there.
    }
    texts.set(file, text);
  }
  return texts.get(file).includes(name);
}

/** Return true if the program's own code is reached before the loading of a package, or one that has the name, is. */
function isOwn(root, name, texts) {
  for (const line of stackLines()) {
    if (line.includes('node:internal/modules/')) return false;
    if (!line.includes('/node_modules/')) {
      if (line.includes(root)) return true;
    } else if (names(line, name, texts)) {
      return false;
    }
  }
  return false;
}

/** Watch `process.env`; return the function that ends it, to be called once a server listens. */
exports.watchReads = function watchReads() {
  if (!isMainThread || TOOLS.test(process.argv[1] || '')) return () => {};
  const root = process.cwd() + path.sep;
  const usual = Object.getPrototypeOf(process.env);
  const own = new Set();
  const others = new Set();
  const texts = new Map();

  function note(name) {
    if (typeof name !== 'string' || name in usual || own.has(name) || others.has(name) || !NAME.test(name)) return;
    (own.size < MOST && isOwn(root, name, texts) ? own : others).add(name);
  }

  const watched = new Proxy(usual, {
    get(target, name, receiver) {
      try {
        note(name);
      } catch {
        // The program has changed what this needs (`Object.freeze(Error)`), or its stack is full.
      }
      return Reflect.get(target, name, receiver);
    },
  });
  Object.setPrototypeOf(process.env, watched);

  function report(code) {
    if (code !== 0 && own.size > 0) fs.writeSync(2, `read without a value: ${[...own].join(', ')}\n`);
  }

  process.once('exit', report);
  return function stop() {
    process.removeListener('exit', report);
    if (Object.getPrototypeOf(process.env) === watched) Object.setPrototypeOf(process.env, usual);
  };
};
