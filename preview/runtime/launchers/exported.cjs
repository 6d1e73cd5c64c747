// Gives `require` what an ES module exports under the name "module.exports", as newer versions of Node do. Loaders that
// compile such a module (tsx) give all of its names instead, and `require('yargs-parser')(argv)` is no function.
'use strict';

const Module = require('module');

const WHOLE = 'module.exports';

function isCompiled(made) {
  return typeof made === 'object' && made !== null && made.__esModule === true && Object.prototype.hasOwnProperty.call(made, WHOLE);
}

/** What the module exports as a whole, with its other names beside it: compiled imports ask for these. */
function whole(made) {
  const value = made[WHOLE];
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return value;
  for (const name of Object.keys(made)) {
    if (name === WHOLE || name in value || !Object.isExtensible(value)) continue;
    Object.defineProperty(value, name, { configurable: true, get: () => made[name] });
  }
  return value;
}

exports.takeWholeExports = function takeWholeExports() {
  const compile = Module.prototype._compile;
  Module.prototype._compile = function compileWhole(...all) {
    const result = compile.apply(this, all);
    if (isCompiled(this.exports)) this.exports = whole(this.exports);
    return result;
  };
};
