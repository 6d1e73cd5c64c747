// What the parts of the tracer share.
'use strict';

const { AsyncLocalStorage } = require('async_hooks');
const crypto = require('crypto');

/** The request that is being handled. */
exports.requests = new AsyncLocalStorage();

/** Return the function without its errors. */
exports.guarded = function guarded(work) {
  return function run(...given) {
    try {
      return work.apply(this, given);
    } catch {
      return undefined;
    }
  };
};

/** Microseconds of a clock that never jumps. */
exports.now = () => Number(process.hrtime.bigint() / 1000n);

exports.newId = () => crypto.randomBytes(8).toString('hex');

/** Return the short name of an error; nothing without one. */
exports.named = function named(error) {
  return error ? String(error.code || error.name || 'Error').slice(0, 60) : '';
};
