// Lets sources that swc compiles import each other in a circle, as TypeScript's own compiler does. A name that its file
// has not reached yet is undefined there; swc's export throws "Cannot access 'Shop' before initialization".
'use strict';

const Module = require('module');
const path = require('path');

const SOURCE = /\.[cm]?tsx?$/;
// What swc writes before a file's own code, with one name or with several.
const ONE = /(?<=^Object\.defineProperty\(exports, "[\w$]+", \{\n {4}enumerable: true,\n {4}get: function\(\) \{\n {8})return ([\w$]+);/m;
const SEVERAL = /^_export\(exports, \{\n(?: {4}get [\w$]+ ?\(\) \{\n {8}return [\w$]+;\n {4}\},?\n)+\}\);/m;
const EACH = /return ([\w$]+);/g;

/** No line is added, so that the source map stays right. */
function late(name) {
  return `try { return ${name}; } catch { return undefined; }`;
}

/** The text of a compiled file with exports that can be read at any time. */
function readable(text) {
  return text
    .replace(ONE, (_, name) => late(name))
    .replace(SEVERAL, (block) => block.replace(EACH, (_, name) => late(name)));
}

exports.allowCircles = function allowCircles() {
  const compile = Module.prototype._compile;
  Module.prototype._compile = function compileReadable(text, file, ...more) {
    const isOwn = SOURCE.test(file) && !file.includes(`${path.sep}node_modules${path.sep}`);
    return compile.call(this, isOwn && typeof text === 'string' ? readable(text) : text, file, ...more);
  };
};
