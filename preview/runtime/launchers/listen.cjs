// Makes a Node program serve on the inherited socket. The first server that listens on PORT gets the socket instead, or
// the first HTTP server that listens on another fixed TCP port. All other listeners are unchanged.
//
// NODE_OPTIONS loads this file before the program, also in programs that it starts (npm, nodemon, tsx).
// PREVIEW_LISTENER is `FD:INODE`; the inode shows whether the number still means the socket. The server with the socket
// uses the control channel (handover.cjs), whose variable PREVIEW_CONTROL has the same format.
'use strict';

const cluster = require('cluster');
const fs = require('fs');
const http = require('http');
const net = require('net');
const { allowCircles } = require('./circles.cjs');
const { findEntities } = require('./entities.cjs');
const { takeWholeExports } = require('./exported.cjs');
const { handOver, reportWorkers } = require('./handover.cjs');
const { leadHome } = require('./hosts.cjs');
const { prepareMikro } = require('./mikro.cjs');
const { watchReads } = require('./reads.cjs');
const { hearPrimary, watchServer } = require('./reports.cjs');
const routes = require('./routes.cjs');
const { findSources } = require('./sources.cjs');
const { markErrors } = require('./stderr.cjs');

const [descriptor, inode] = (process.env.PREVIEW_LISTENER || '').split(':').map(Number);
const ownPort = Number(process.env.PORT);
let taken = false;

function isInherited() {
  // The primary process has the socket, and opens its workers' sockets.
  if (cluster.isWorker) return true;
  try {
    const status = fs.fstatSync(descriptor);
    return status.isSocket() && status.ino === inode;
  } catch {
    return false;
  }
}

/** Return true for `listen(Number(process.env.APP_PORT))` without that variable, which Node would refuse. */
function isNoNumber(first) {
  const port = typeof first === 'object' && first !== null ? first.port : first;
  return typeof port === 'number' && Number.isNaN(port);
}

/** Return the port in the arguments of `listen`: NaN for pipes, handles and descriptors; 0 (any port) without one. */
function wantedPort(first) {
  if (isNoNumber(first)) return ownPort;
  if (typeof first === 'function' || first === null) return 0;
  if (typeof first === 'object') {
    if (first.fd !== undefined || first.path !== undefined || first._handle || first.handle) return NaN;
    return first.port === undefined ? NaN : Number(first.port);
  }
  // A string that is not a number is the path of a pipe.
  return first === undefined ? ownPort : Number(first);
}

/** Return what reports spans; null if the launch has not asked for it. */
function openTracer() {
  if (process.env.PREVIEW_TRACE !== '1') return null;
  try {
    const tracer = require('./tracing/trace.cjs');
    tracer.watch();
    return tracer;
  } catch {
    return null;
  }
}

function isOurs(server, port) {
  if (taken || Number.isNaN(port)) return false;
  // Port 0 is a private helper's; a public server has a fixed port.
  return port === ownPort || (port !== 0 && server instanceof http.Server);
}

if (inode > 0) {
  markErrors();
  leadHome(process.env.PREVIEW_SERVER_NAMES || '');
  routes.watch();
  findSources();
  allowCircles();
  takeWholeExports();
  findEntities();
  prepareMikro();
  const stopWatching = watchReads();
  const tracer = openTracer();
  const reports = cluster.isWorker ? hearPrimary() : null;
  if (!cluster.isWorker && isInherited()) reportWorkers(tracer);
  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function listenOnInherited(...given) {
    const port = wantedPort(given[0]);
    this.once('listening', stopWatching);
    if (!isOurs(this, port) || !isInherited()) return listen.apply(this, given);
    taken = true;
    if (isNoNumber(given[0])) {
      fs.writeSync(1, `the program's port is no number: a variable is not set; the preview serves it on ${ownPort}\n`);
    }
    if (port !== ownPort) fs.writeSync(1, `the program asks for port ${port}; the preview serves it on ${ownPort}\n`);
    const options = typeof given[0] === 'object' && given[0] !== null ? given[0] : {};
    const callback = given.filter((one) => typeof one === 'function').slice(-1);
    routes.findHono();
    // Not in a worker, for which the primary accepts.
    if (cluster.isWorker) {
      watchServer(this, reports, tracer);
      if (tracer !== null) tracer.sendByPrimary();
      routes.answerPrimary(this);
    } else {
      handOver(this, tracer);
    }
    // Only options that do not concern the address, which is bound already.
    return listen.call(this, { fd: descriptor, backlog: options.backlog, signal: options.signal }, ...callback);
  };
}
