// Reports requests at the preview's own port, which the service does not see, over the control channel: one line
// `request DROPPED METHOD STATUS MICROSECONDS ID TARGET` for each. See preview_requests.py.
//
// A worker of a cluster has no control channel. It sends its reports to the primary process as internal messages
// (nodejs.org, child_process, "process.send": names that start with NODE_), and the primary passes them on.
'use strict';

const cluster = require('cluster');
const crypto = require('crypto');

const MOST_PER_S = 100;
const MOST_TARGET = 1024;
// Unsent reports; a service that does not read them gets no more.
const MOST_UNSENT = 8192;
const SANE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
const MARK = /^[0-9a-f]{1,64}$/;
const ORDER = 'NODE_PREVIEW_REQUESTS';
const REPORT = 'NODE_PREVIEW_REQUEST';

/** Node reads a target as Latin-1: one character is one byte. */
function escaped(character) {
  return `%${(character.charCodeAt(0) % 256).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** Return a function that says whether one more report may be sent in this second. */
function openAllowance() {
  let left = 0;
  let second = 0;
  return function isAllowed() {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) [second, left] = [now, MOST_PER_S];
    left -= 1;
    return left >= 0;
  };
}

/** Return the reporter; `mark` starts the ids of requests that the service has carried, `send` returns success. */
function openReporter(mark, send) {
  const prefix = `direct-${crypto.randomBytes(4).toString('hex')}-`;
  let count = 0;

  /** Return a function to call with the status at the end of the request; null if it is not reported. */
  function open(request) {
    const given = request.headers['x-request-id'] || '';
    if (given.startsWith(mark) || request.headers['user-agent'] === 'preview-probe') return null;
    count += 1;
    const name = SANE.test(given) ? given : prefix + count;
    const began = process.hrtime();
    // The application may change `url` for its routers.
    const { method, url } = request;
    return function report(status) {
      const [seconds, nanoseconds] = process.hrtime(began);
      const took = Math.floor(seconds * 1e6 + nanoseconds / 1e3);
      const target = url.slice(0, MOST_TARGET).replace(/[^!-~]/g, escaped).slice(0, MOST_TARGET);
      send(`${method} ${status} ${took} ${name} ${target}`);
    };
  }

  return {
    /** Report this request when its response is over. */
    watch(request, response) {
      const report = open(request);
      if (report) response.once('close', () => report(response.headersSent ? response.statusCode : 0));
    },

    /** Report this handshake when its first bytes are written, or its connection ends without any. */
    watchHandshake(request, socket) {
      const report = open(request);
      if (!report) return;
      let isOver = false;
      function end(status) {
        if (!isOver) report(status);
        isOver = true;
      }
      // The parts below `write` and `end`, which all ways to write lead to (nodejs.org, stream).
      for (const part of ['_write', '_writev']) {
        const original = socket[part];
        socket[part] = function writeNoting(given, ...more) {
          const first = part === '_write' ? given : given[0].chunk;
          const head = isOver ? '' : Buffer.from(first.slice(0, 12)).toString('latin1');
          const found = /^HTTP\/1\.1 (\d{3})/.exec(head);
          end(found ? found[1] : 0);
          return original.call(this, given, ...more);
        };
      }
      socket.once('close', () => end(0));
    },
  };
}

/** Return a function that sends a report over the channel if there is room, and counts those without. */
function openSender(channel) {
  const isAllowed = openAllowance();
  let dropped = 0;
  return function send(line, more = 0) {
    dropped = Math.min(dropped + more, 9999999);
    if (!isAllowed() || channel.destroyed || channel.writableLength > MOST_UNSENT) {
      dropped = Math.min(dropped + 1, 9999999);
      return;
    }
    channel.write(`request ${dropped} ${line}\n`);
    dropped = 0;
  };
}

/** Return the reporter of a process with the control channel. */
exports.openReports = function openReports(channel, mark) {
  return openReporter(mark, openSender(channel));
};

/** Let the workers of this process report over its channel; returns the function to call at each order. */
exports.openWorkers = function openWorkers(channel) {
  const send = openSender(channel);
  let order = '';

  function tell(worker) {
    try {
      if (worker.isConnected()) worker.process.send({ cmd: ORDER, mark: order }, () => {});
    } catch {
      // It has just ended.
    }
  }

  const taken = new WeakSet();
  function take(worker) {
    if (taken.has(worker)) return;
    taken.add(worker);
    worker.process.on('internalMessage', (message) => {
      const { cmd, line, dropped } = message || {};
      if (cmd === REPORT && order && typeof line === 'string' && line.length < 2 * MOST_TARGET) {
        send(line.replace(/[^ -~]/g, '?'), Number.isSafeInteger(dropped) && dropped > 0 ? dropped : 0);
      }
    });
    worker.once('online', () => tell(worker));
  }

  cluster.on('fork', take);
  Object.values(cluster.workers || {}).forEach((worker) => {
    take(worker);
    tell(worker);
  });
  return function obey(mark) {
    order = mark;
    Object.values(cluster.workers || {}).forEach(tell);
  };
};

/** Hear the primary process's orders in a worker, from its start; returns the current reporter when it is called. */
exports.hearPrimary = function hearPrimary() {
  const isAllowed = openAllowance();
  let reports = null;
  let dropped = 0;

  function send(line) {
    if (!isAllowed() || !process.connected) {
      dropped += 1;
      return;
    }
    // Errors have no effect: the primary may have ended.
    process.send({ cmd: REPORT, line, dropped }, () => {});
    dropped = 0;
  }

  process.on('internalMessage', (message) => {
    if (!message || message.cmd !== ORDER) return;
    reports = MARK.test(message.mark) ? openReporter(message.mark, send) : null;
  });
  return () => reports;
};

/** Watch the requests and handshakes of a server with the current reporter, if there is one; and with the tracer. */
exports.watchServer = function watchServer(server, current, tracer = null) {
  const { emit } = server;
  // Not a listener: a server without one for `upgrade` answers handshakes as usual requests.
  server.emit = function emitWatched(name, ...given) {
    const reports = name === 'request' || name === 'upgrade' ? current() : null;
    if (reports !== null) {
      try {
        if (name === 'request') reports.watch(given[0], given[1]);
        else reports.watchHandshake(given[0], given[1]);
      } catch {
        // The report is left out.
      }
    }
    if (tracer === null || name !== 'request') return emit.call(this, name, ...given);
    return tracer.run(given[0], given[1], () => emit.call(this, name, ...given));
  };
};
