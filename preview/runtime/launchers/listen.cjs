// Puts a Node program on the inherited socket: the first HTTP server that listens on a TCP port of its own choice, or
// whatever asks for PORT, gets the socket instead. Everything else that listens stays as it is.
//
// Loaded by NODE_OPTIONS ahead of the program, so that it is there in whatever the program starts (npm, nodemon, tsx).
// PREVIEW_LISTENER is `FD:INODE`; the inode tells the socket from another file that has the number by now. The server
// that has the socket speaks the control channel (handover.cjs), PREVIEW_CONTROL, of the same form.
'use strict';

const cluster = require('cluster');
const fs = require('fs');
const http = require('http');
const net = require('net');
const { handOver } = require('./handover.cjs');

const [descriptor, inode] = (process.env.PREVIEW_LISTENER || '').split(':').map(Number);
const ownPort = Number(process.env.PORT);
let taken = false;

function isInherited() {
  // A worker's sockets are opened by the primary, which has it.
  if (cluster.isWorker) return true;
  try {
    const status = fs.fstatSync(descriptor);
    return status.isSocket() && status.ino === inode;
  } catch {
    return false;
  }
}

/** The port that `listen` is asked for; NaN for pipes, handles and descriptors. No port at all is 0, which is any. */
function wantedPort(first) {
  if (typeof first === 'function' || first === null) return 0;
  if (typeof first === 'object') {
    if (first.fd !== undefined || first.path !== undefined || first._handle || first.handle) return NaN;
    return first.port === undefined ? NaN : Number(first.port);
  }
  // A text that is no number is a pipe's path.
  return first === undefined ? ownPort : Number(first);
}

function isOurs(server, port) {
  if (taken || Number.isNaN(port)) return false;
  // Port 0 is a private helper's: who wants to be found says where.
  return port === ownPort || (port !== 0 && server instanceof http.Server);
}

if (inode > 0) {
  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function listenOnInherited(...given) {
    const port = wantedPort(given[0]);
    if (!isOurs(this, port) || !isInherited()) return listen.apply(this, given);
    taken = true;
    if (port !== ownPort) fs.writeSync(1, `the program asks for port ${port}; the preview serves it on ${ownPort}\n`);
    const options = typeof given[0] === 'object' && given[0] !== null ? given[0] : {};
    const callback = given.filter((one) => typeof one === 'function').slice(-1);
    // Not in a worker: the primary accepts for it.
    if (!cluster.isWorker) handOver(this);
    // Only what is not about the address: it has been bound already.
    return listen.call(this, { fd: descriptor, backlog: options.backlog, signal: options.signal }, ...callback);
  };
}
