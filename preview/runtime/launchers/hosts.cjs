// Leads names of servers elsewhere, which the sources have as constants, to the preview's own servers: only names that
// the service has found there, and only where no name server knows them, as in a preview without a network.
'use strict';

const dns = require('dns');
const fs = require('fs');

const OWN = '127.0.0.1';
const UNKNOWN = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA']);

exports.leadHome = function leadHome(names) {
  const known = new Set(names.toLowerCase().split(',').filter(Boolean));
  if (known.size === 0) return;
  const told = new Set();
  const { lookup } = dns;

  function lookupAtHome(host, ...given) {
    const name = String(host).toLowerCase();
    const callback = given[given.length - 1];
    if (!known.has(name) || typeof callback !== 'function') return lookup.call(this, host, ...given);
    const isAll = given.length > 1 && given[0] !== null && given[0].all === true;
    return lookup.call(this, host, ...given.slice(0, -1), (error, ...found) => {
      if (!error || !UNKNOWN.has(error.code)) return callback(error, ...found);
      if (!told.has(name)) fs.writeSync(1, `${name} cannot be reached: the name leads to the preview's own server\n`);
      told.add(name);
      return isAll ? callback(null, [{ address: OWN, family: 4 }]) : callback(null, OWN, 4);
    });
  }
  dns.lookup = Object.defineProperties(lookupAtHome, Object.getOwnPropertyDescriptors(lookup));
};
