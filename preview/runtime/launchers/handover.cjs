// The control channel of a Node server on the inherited socket: reports that it serves, and obeys the order to drain.
// Messages are lines. To the service: `ready` when the server listens, `closed` when it has stopped accepting, and
// `drained` when it has answered all accepted requests; `workers` and `reports` from a cluster's primary process, whose
// workers list their routes and report requests. From the service: `drain`, and `routes N`, answered by a line
// `route N …` for each route and `routes N` at the end; `requests on MARK` and `requests off`; `profile N SECONDS`. See
// preview_control.py.
'use strict';

const fs = require('fs');
const net = require('net');
const { openReports, openWorkers, watchServer } = require('./reports.cjs');
const routes = require('./routes.cjs');

// Time for which idle connections are kept open during a drain: their clients may just be sending a request.
const SILENT_MS = 500;
const LOOK_MS = 10;
const MOST_CHARACTERS = 64;
// The project's folder: the program may change its own.
const ROOT = process.cwd();

function openChannel() {
  const [descriptor, inode] = (process.env.PREVIEW_CONTROL || '').split(':').map(Number);
  try {
    const status = fs.fstatSync(descriptor);
    if (!status.isSocket() || status.ino !== inode) return null;
    const channel = new net.Socket({ fd: descriptor, readable: true, writable: true });
    // The service may have closed the channel. The channel alone must not keep the program running.
    channel.on('error', () => channel.destroy());
    return channel.unref();
  } catch {
    return null;
  }
}

function startProfile([, number, seconds], channel) {
  try {
    require('./tracing/profile.cjs').start(number, Number(seconds), ROOT, channel);
  } catch {
    // A Node without an inspector.
  }
}

/** Connect the server to the control channel once it listens; `tracer` reports spans over it, if it is not null. */
exports.handOver = function handOver(server, tracer) {
  const connections = new Set();
  // Unfinished responses by connection; clients may pipeline requests.
  const answers = new Map();
  let draining = false;
  // Reports requests, while the service asks for it.
  let reports = null;
  watchServer(server, () => reports, tracer);

  server.on('connection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  server.prependListener('request', (request, response) => {
    const { socket } = request;
    if (draining) response.setHeader('Connection', 'close');
    if (!answers.has(socket)) answers.set(socket, new Set());
    answers.get(socket).add(response);
    response.once('close', () => {
      const left = answers.get(socket);
      left.delete(response);
      if (left.size === 0) answers.delete(socket);
    });
  });

  function closeSilent() {
    for (const socket of connections) {
      // A socket without a parser is not, or no longer, HTTP: a WebSocket is never idle.
      if (socket.parser && !answers.has(socket)) socket.destroy();
    }
  }

  function drain(channel) {
    draining = true;
    for (const responses of answers.values()) {
      for (const response of responses) if (!response.headersSent) response.setHeader('Connection', 'close');
    }
    const silentFrom = Date.now() + SILENT_MS;
    const looking = setInterval(() => {
      // setImmediate, so that data that has arrived is read first.
      if (Date.now() >= silentFrom) setImmediate(closeSilent);
    }, LOOK_MS);
    // Not http's `close`, which also closes connections whose request may be arriving.
    net.Server.prototype.close.call(server, () => {
      clearInterval(looking);
      channel.write('drained\n', () => process.exit(0));
    });
    channel.write('closed\n');
  }

  function report(number) {
    return routes
      .list(server)
      .map((line) => `route ${number} ${line}\n`)
      .join('');
  }

  server.once('listening', () => {
    const channel = openChannel();
    if (channel === null) return;
    let heard = '';
    channel.on('data', (data) => {
      const lines = (heard + data).split('\n');
      heard = lines.pop().slice(-MOST_CHARACTERS);
      for (const line of lines) {
        const asked = /^routes (\d+)$/.exec(line);
        const measured = /^profile (\d+) (\d+)$/.exec(line);
        if (asked) channel.write(`${report(asked[1])}routes ${asked[1]}\n`);
        else if (measured) startProfile(measured, channel);
        else if (line === 'drain' && !draining) drain(channel);
        else if (line === 'requests off') reports = null;
        else if (/^requests on [0-9a-f]+$/.test(line)) reports = openReports(channel, line.slice(12));
      }
    });
    if (tracer !== null) tracer.sendOver(channel);
    channel.write('ready\n');
  });
};

/** Let the workers that this process starts report routes, requests and spans over the control channel. */
exports.reportWorkers = function reportWorkers(tracer) {
  const cluster = require('cluster');
  cluster.once('fork', () => {
    const channel = openChannel();
    if (channel === null) return;
    if (tracer !== null) tracer.openWorkers(channel);
    const obey = openWorkers(channel);
    const ask = routes.openWorkers(channel);
    let heard = '';
    channel.on('data', (data) => {
      const lines = (heard + data).split('\n');
      heard = lines.pop().slice(-MOST_CHARACTERS);
      for (const line of lines) {
        const asked = /^routes (\d+)$/.exec(line);
        if (asked) ask(asked[1]);
        else if (line === 'requests off') obey('');
        else if (/^requests on [0-9a-f]+$/.test(line)) obey(line.slice(12));
      }
    });
    channel.write('workers\nreports\n');
  });
};
