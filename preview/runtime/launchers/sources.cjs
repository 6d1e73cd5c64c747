// Finds the source for the name of what a compiler makes of it: `require('./app.module.js')` means `app.module.ts`, as
// TypeScript reads it in its newer module systems. Loaders of CommonJS do not know that.
'use strict';

const Module = require('module');
const path = require('path');

const MADE = /^(\.{1,2}\/.*)\.([cm]?)js$/;

/** What the name is made from, for a source of the project itself; null for all others. */
function madeFrom(request, parent) {
  const made = MADE.exec(request);
  const by = (parent && parent.filename) || '';
  // A package may have both; only the project's own sources are compiled as they are loaded.
  const isSource = /\.[cm]?tsx?$/.test(by) && !by.includes(`${path.sep}node_modules${path.sep}`);
  return made !== null && isSource && Module._extensions['.ts'] ? [`${made[1]}.${made[2]}ts`, `${made[1]}.tsx`] : null;
}

exports.findSources = function findSources() {
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function resolveSource(request, parent, ...more) {
    const sources = madeFrom(request, parent);
    if (sources === null) return resolve.call(this, request, parent, ...more);
    for (const name of [request, ...sources]) {
      try {
        return resolve.call(this, name, parent, ...more);
      } catch {
        // The next name, and in the end the error about the first one.
      }
    }
    return resolve.call(this, request, parent, ...more);
  };
};
