// Leads names and addresses of servers elsewhere, which the sources have as constants, to the preview's own servers: only
// those that the service has found there, only names that no name server knows, and only addresses in a preview without
// a network.
'use strict';

const dns = require('dns');
const fs = require('fs');
const net = require('net');
const os = require('os');

const OWN = '127.0.0.1';
const UNKNOWN = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA']);

exports.leadHome = function leadHome(names) {
  const known = new Set(names.toLowerCase().split(',').filter(Boolean));
  if (known.size === 0) return;
  leadAddresses(new Set([...known].filter((one) => net.isIP(one) !== 0)));
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

/** Return true without a network; false if the kernel does not tell. */
function isAlone() {
  try {
    return Object.values(os.networkInterfaces()).every((one) => one.every((address) => address.internal));
  } catch {
    return false;
  }
}

// Nobody looks an address up: the connection itself is led.
function leadAddresses(known) {
  if (known.size === 0 || !isAlone()) return;
  const told = new Set();
  const { connect } = net.Socket.prototype;

  function atHome(host) {
    if (!known.has(String(host))) return host;
    if (!told.has(host)) fs.writeSync(1, `${host} cannot be reached: it leads to the preview's own server\n`);
    told.add(host);
    return OWN;
  }

  net.Socket.prototype.connect = function connectAtHome(...given) {
    // Node's own functions pass options and callback as one list, which carries a mark.
    const options = Array.isArray(given[0]) ? given[0][0] : given[0];
    if (options !== null && typeof options === 'object' && known.has(String(options.host))) {
      const led = { ...options, host: atHome(options.host) };
      if (Array.isArray(given[0])) given[0][0] = led;
      else given[0] = led;
    } else if (given.length > 1 && typeof given[1] === 'string') {
      given[1] = atHome(given[1]);
    }
    return connect.apply(this, given);
  };
}
