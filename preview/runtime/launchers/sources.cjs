// Finds the source for the name of what a compiler makes of it: `require('./app.module.js')` means `app.module.ts`, as
// TypeScript reads it in its newer module systems. Loaders of CommonJS do not know that.
'use strict';

const Module = require('module');
const path = require('path');

const MADE = /^(\.{1,2}\/.*)\.([cm]?)js$/;

exports.findSources = function findSources() {
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function resolveSource(request, parent, ...more) {
    try {
      return resolve.call(this, request, parent, ...more);
    } catch (error) {
      const made = MADE.exec(request);
      const isMissing = made !== null && error.code === 'MODULE_NOT_FOUND' && Module._extensions['.ts'];
      const isSource = isMissing && /\.[cm]?tsx?$/.test((parent && parent.filename) || '');
      // A package may have both; only the project's own sources are compiled as they are loaded.
      if (!isSource || parent.filename.includes(`${path.sep}node_modules${path.sep}`)) throw error;
      for (const end of [`.${made[2]}ts`, '.tsx']) {
        try {
          return resolve.call(this, made[1] + end, parent, ...more);
        } catch {
          // The error about the name that the source has tells more.
        }
      }
      throw error;
    }
  };
};
