// Finds the source for the name of what a compiler makes of it: `require('./app.module.js')` means `app.module.ts`, as
// TypeScript reads it in its newer module systems. Loaders of CommonJS do not know that. A module that has only types
// (`users.d.ts`) is empty: a compiler that knows the types imports nothing from it. For the same reason, a package that
// only another package has may be named (`import { Request } from 'express'`, which NestJS has).
'use strict';

const fs = require('fs');
const Module = require('module');
const path = require('path');

const EMPTY = path.join(__dirname, 'empty.cjs');
const PACKAGE = /^(?:@[\w.~-]+\/)?[\w~][\w.~-]*/;
const MADE_END = /\.[cm]?js$/;
const MADE = /^(\.{1,2}\/.*)\.([cm]?)js$/;

/** What the name is made from, for a source of the project itself; null for all others. */
function madeFrom(request, parent) {
  const made = MADE.exec(request);
  return made !== null && isSource(parent) ? [`${made[1]}.${made[2]}ts`, `${made[1]}.tsx`] : null;
}

/** A package may have both; only the project's own sources are compiled as they are loaded. */
function isSource(parent) {
  const by = (parent && parent.filename) || '';
  const isOwn = /\.[cm]?tsx?$/.test(by) && !by.includes(`${path.sep}node_modules${path.sep}`);
  return isOwn && Module._extensions['.ts'] !== undefined;
}

/** Whether only types stand under a name that a source of the project imports. */
function hasOnlyTypes(request, parent) {
  if (!/^\.{1,2}\//.test(request)) return false;
  return fs.existsSync(`${path.resolve(path.dirname(parent.filename), request.replace(MADE_END, ''))}.d.ts`);
}

/** Packages that the project's package.json names, and that have a package of the name for themselves. */
function owners(request, parent) {
  const name = PACKAGE.exec(request)?.[0];
  let folder = path.dirname(parent.filename);
  while (!fs.existsSync(path.join(folder, 'node_modules')) && folder !== path.dirname(folder)) {
    folder = path.dirname(folder);
  }
  if (name === undefined) return [];
  try {
    const { dependencies = {} } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
    const places = Object.keys(dependencies).map((owner) => path.join(folder, 'node_modules', owner));
    return places.filter((owner) => fs.existsSync(path.join(owner, 'node_modules', name)));
  } catch {
    return [];
  }
}

exports.findSources = function findSources() {
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function resolveSource(request, parent, ...more) {
    const sources = madeFrom(request, parent);
    for (const name of sources === null ? [] : [request, ...sources]) {
      try {
        return resolve.call(this, name, parent, ...more);
      } catch {
        // The next name, and in the end the error about the first one.
      }
    }
    try {
      return resolve.call(this, request, parent, ...more);
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND' || !isSource(parent)) throw error;
      if (hasOnlyTypes(request, parent)) return EMPTY;
      for (const place of owners(request, parent)) {
        try {
          return resolve.call(this, request, parent, false, { paths: [place] });
        } catch {
          // The next place, and in the end the error about the name.
        }
      }
      throw error;
    }
  };
};
