// Lets sources that swc compiles import each other in a circle, as TypeScript's own compiler does. A name that its file
// has not reached yet is undefined there; swc's export throws "Cannot access 'Shop' before initialization".
// And an imported enumeration is text, a number or an object to decorators, as it is to TypeScript's own compiler: swc,
// which reads one file at a time, passes on the enumeration itself, and NestJS takes that for a class.
'use strict';

const Module = require('module');
const path = require('path');

const SOURCE = /\.[cm]?tsx?$/;
// What swc writes before a file's own code, with one name or with several.
const ONE = /(?<=^Object\.defineProperty\(exports, "[\w$]+", \{\n {4}enumerable: true,\n {4}get: function\(\) \{\n {8})return ([\w$]+);/m;
const SEVERAL = /^_export\(exports, \{\n(?: {4}get [\w$]+ ?\(\) \{\n {8}return [\w$]+;\n {4}\},?\n)+\}\);/m;
const EACH = /return ([\w$]+);/g;

// Without a lookbehind, which would read back through a long line (a source map) at each of its characters.
const TYPES = /(\bfunction _ts_metadata\((\w+), (\w+)\) \{\n[^\n]*\n? *)return Reflect\.metadata\(\2, \3\);/;
const TYPE_OF = Symbol.for('preview.typeOf');

/** What a decorator gets as the type of a value. */
function typeOf(type) {
  if (type === null || typeof type !== 'object') return type;
  // An enumeration of numbers also has its names by their numbers.
  const names = Object.keys(type).filter((name) => !/^-?\d/.test(name));
  const kinds = new Set(names.map((name) => typeof type[name]));
  const kind = kinds.size === 1 ? [...kinds][0] : '';
  return kind === 'string' ? String : kind === 'number' ? Number : Object;
}

/** No line is added, so that the source map stays right. */
function late(name) {
  return `try { return ${name}; } catch { return undefined; }`;
}

/** The text of a compiled file with exports that can be read at any time. */
function readable(text) {
  return text
    .replace(ONE, (_, name) => late(name))
    .replace(SEVERAL, (block) => block.replace(EACH, (_, name) => late(name)))
    .replace(TYPES, (_, head, key, value) => `${head}return Reflect.metadata(${key}, process[Symbol.for('${TYPE_OF.description}')](${value}));`);
}

exports.allowCircles = function allowCircles() {
  Object.defineProperty(process, TYPE_OF, {
    value: (types) => (Array.isArray(types) ? types.map(typeOf) : typeOf(types)),
  });
  const compile = Module.prototype._compile;
  Module.prototype._compile = function compileReadable(text, file, ...more) {
    const isOwn = SOURCE.test(file) && !file.includes(`${path.sep}node_modules${path.sep}`);
    return compile.call(this, isOwn && typeof text === 'string' ? readable(text) : text, file, ...more);
  };
};
