// Makes a Bun program serve on PORT: the first server on a fixed TCP port gets that port. All other servers are unchanged.
//
// `bun --preload` loads this file before the program. All of Bun's HTTP servers are opened by `Bun.serve`: those of
// `export default { fetch }`, of node:http, and of Elysia. Bun serves on no inherited socket.
'use strict';

const fs = require('fs');
const { leadHome } = require('./hosts.cjs');

const ownPort = Number(process.env.PORT);
// Names of this machine that may mean `::1` alone.
const LOCAL = new Set(['localhost', '::1']);
let taken = false;

/** Return the options with the preview's port; null if the server is none for the public. */
function onOwnPort(options) {
  if (taken || options === null || typeof options !== 'object' || options.unix !== undefined) return null;
  // Without a port, Bun takes PORT.
  const port = options.port === undefined ? ownPort : Number(options.port);
  // Port 0 is a private helper's; a public server has a fixed port.
  if (port === 0) return null;
  if (port !== ownPort) {
    const asked = Number.isNaN(port) ? 'is no number: a variable is not set' : `is ${port}`;
    fs.writeSync(1, `the program's port ${asked}; the preview serves it on ${ownPort}\n`);
  }
  taken = true;
  const changed = { port: { value: ownPort, enumerable: true, writable: true } };
  if (LOCAL.has(options.hostname)) changed.hostname = { value: '127.0.0.1', enumerable: true, writable: true };
  return Object.create(Object.getPrototypeOf(options), { ...Object.getOwnPropertyDescriptors(options), ...changed });
}

if (ownPort > 0) {
  leadHome(process.env.PREVIEW_SERVER_NAMES || '');
  const { serve } = Bun;
  Bun.serve = function serveOnOwnPort(options, ...more) {
    const changed = onOwnPort(options);
    if (changed === null) return serve.call(this, options, ...more);
    try {
      return serve.call(this, changed, ...more);
    } catch (error) {
      taken = false;
      throw error;
    }
  };
}
