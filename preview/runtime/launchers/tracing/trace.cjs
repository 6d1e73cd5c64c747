// Reports spans of each request to the service over the control channel, as preview_trace.py does: one line
// `span DROPPED [KIND, TRACE, SPAN, PARENT, START_US, DURATION_US, NAME, DETAIL, STATUS, ERROR, REQUEST_ID]` for each.
// Outgoing requests come from Node's own diagnostics channels; clients of databases are changed when they are loaded.
//
// Any error here has no effect on the program: the span is left out. Workers of a cluster report none.
'use strict';

const { AsyncLocalStorage } = require('async_hooks');
const crypto = require('crypto');
const diagnostics = require('diagnostics_channel');
const { errorMonitor } = require('events');
const Module = require('module');

const MOST_PER_S = 2000;
const MOST_IN_REQUEST = 1000;
const MOST_UNSENT = 65536;
const MOST_LINE = 8192;
const MOST_DETAIL = 2000;
const MOST_NAME = 200;
const PART = 50;
const PARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}/;
const VERB = /^[\s(]*([A-Za-z]+)/;
const TABLE = /\b(?:FROM|INTO|UPDATE|TABLE|JOIN)\s+["`[]?([\w.]+)/i;

const requests = new AsyncLocalStorage();
// By outgoing request: what was noted at its start.
const calls = new WeakMap();
const patched = new WeakSet();

function guarded(work) {
  return function run(...given) {
    try {
      return work.apply(this, given);
    } catch {
      return undefined;
    }
  };
}

const now = () => Number(process.hrtime.bigint() / 1000n);

/** Spans that wait for the channel; those without room are counted in the next report. */
const sender = {
  channel: null,
  dropped: 0,
  left: 0,
  second: 0,

  send(spans) {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.second) [this.second, this.left] = [second, MOST_PER_S];
    const { channel } = this;
    for (const span of spans) {
      this.left -= 1;
      if (this.left < 0 || channel === null || channel.destroyed || channel.writableLength > MOST_UNSENT) {
        this.dropped = Math.min(this.dropped + 1, 9999999);
        continue;
      }
      const line = this.line(span);
      if (line === '') continue;
      channel.write(`span ${this.dropped} ${line}\n`);
      this.dropped = 0;
    }
  },

  line(span) {
    for (const most of [MOST_DETAIL, 1000, 0]) {
      const given = [...span];
      given[6] = String(given[6]).slice(0, MOST_NAME);
      given[7] = String(given[7]).slice(0, most);
      // The service reads ASCII, and lines of a limited length.
      const text = JSON.stringify(given).replace(/[\u007f-\uffff]/g, (one) => {
        return `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`;
      });
      if (text.length + 16 <= MOST_LINE) return text;
    }
    return '';
  },
};

class Active {
  constructor(request) {
    const { headers, method, url } = request;
    const found = PARENT.exec(headers.traceparent || '');
    this.traceId = found ? found[1] : crypto.randomBytes(16).toString('hex');
    this.parentId = found ? found[2] : '';
    this.spanId = crypto.randomBytes(8).toString('hex');
    this.requestId = headers['x-request-id'] || '';
    this.name = `${method} ${url.split('?', 1)[0]}`;
    this.startUs = Date.now() * 1000;
    this.began = now();
    this.spans = [];
    this.count = 0;
  }

  add(kind, began, name, detail, status, error) {
    this.count += 1;
    if (this.count > MOST_IN_REQUEST) {
      sender.dropped = Math.min(sender.dropped + 1, 9999999);
      return;
    }
    const start = this.startUs + (began - this.began);
    const id = crypto.randomBytes(8).toString('hex');
    const took = Math.max(0, now() - began);
    this.spans.push([kind, this.traceId, id, this.spanId, start, took, name, detail, status, error, '']);
    if (this.spans.length >= PART) this.flush();
  }

  end(status, error) {
    const took = now() - this.began;
    this.spans.push([
      'request',
      this.traceId,
      this.spanId,
      this.parentId,
      this.startUs,
      took,
      this.name,
      '',
      status,
      error,
      this.requestId,
    ]);
    this.flush();
  }

  flush() {
    const { spans } = this;
    this.spans = [];
    sender.send(spans);
  }
}

/** Run `handle` as the handler of this request. */
exports.run = function run(request, response, handle) {
  let active = null;
  try {
    const { headers } = request;
    if (headers['user-agent'] !== 'preview-probe' && !(headers['x-request-id'] || '').endsWith('.check')) {
      active = new Active(request);
      const end = guarded(() => {
        active.end(response.headersSent ? response.statusCode : 0, response.writableFinished ? '' : 'unfinished');
      });
      response.once('close', end);
    }
  } catch {
    active = null;
  }
  return active === null ? handle() : requests.run(active, handle);
};

/** Send over this channel from now on. */
exports.sendOver = function sendOver(channel) {
  sender.channel = channel;
};

// Outgoing requests

function begin(request, method, address) {
  const active = requests.getStore();
  if (active === undefined) return;
  const plain = address.split('?', 1)[0].split('#', 1)[0];
  const bare = plain.replace(/^([a-z]+:\/\/)?[^/]*@/, '$1');
  calls.set(request, { active, began: now(), name: `${method} ${bare.replace(/^[a-z]+:\/\//, '')}`, detail: bare });
}

function finish(request, status, error) {
  const call = calls.get(request);
  if (call === undefined) return;
  calls.delete(request);
  call.active.add('call', call.began, call.name, call.detail, status, error);
}

function named(error) {
  return error ? String(error.code || error.name || 'Error').slice(0, 60) : '';
}

function watchCalls() {
  const subscribe = (name, work) => diagnostics.channel(name).subscribe(guarded(work));
  subscribe('http.client.request.start', ({ request }) => {
    begin(request, request.method, `${request.protocol}//${request.getHeader('host') || request.host}${request.path}`);
    // Node 20 does not publish errors. A usual listener would hide one that the program does not handle.
    request.once(
      errorMonitor,
      guarded((error) => finish(request, 0, named(error))),
    );
  });
  subscribe('http.client.response.finish', ({ request, response }) => finish(request, response.statusCode, ''));
  subscribe('undici:request:create', ({ request }) =>
    begin(request, request.method, `${request.origin}${request.path}`),
  );
  subscribe('undici:request:headers', ({ request, response }) => finish(request, response.statusCode, ''));
  subscribe('undici:request:error', ({ request, error }) => finish(request, 0, named(error)));
}

// Databases

function nameOf(statement) {
  const verb = VERB.exec(statement);
  const table = TABLE.exec(statement.slice(0, 4000));
  return `${verb ? verb[1].toUpperCase() : 'SQL'} ${table ? table[1] : ''}`.trim();
}

/** Measure a method whose last function is called at the end, or that returns a promise, or else ends at once. */
function measure(owner, name, describe) {
  const original = owner && owner[name];
  if (typeof original !== 'function' || patched.has(original)) return;
  function measured(...given) {
    const active = requests.getStore();
    if (active === undefined || active.isQuiet) return original.apply(this, given);
    let end = () => {};
    try {
      const [kind, shown, detail] = describe(...given);
      const began = now();
      let isOver = false;
      end = guarded((error) => {
        if (!isOver) active.add(kind, began, shown, detail, 0, named(error));
        isOver = true;
      });
      const last = given.length - 1;
      const callback = given[last];
      if (typeof callback === 'function') {
        given[last] = function called(error, ...more) {
          end(error instanceof Error ? error : null);
          return callback.call(this, error, ...more);
        };
      }
    } catch {
      // It is not measured.
    }
    let result;
    // What the method calls itself is a part of it.
    active.isQuiet = true;
    try {
      result = original.apply(this, given);
    } catch (error) {
      end(error);
      throw error;
    } finally {
      active.isQuiet = false;
    }
    if (result instanceof Promise) {
      // The program gets the later promise: a handler of our own at the first would hide a rejection from Node.
      return result.then(
        (value) => {
          end(null);
          return value;
        },
        (error) => {
          end(error);
          throw error;
        },
      );
    }
    if (result && typeof result.once === 'function') {
      for (const event of ['end', 'close']) result.once(event, () => end(null));
    } else if (typeof given[given.length - 1] !== 'function') end(null);
    return result;
  }
  patched.add(measured);
  Object.defineProperty(measured, 'name', { value: original.name, configurable: true });
  Object.defineProperty(measured, 'length', { value: original.length, configurable: true });
  // A method that the owner inherits has no descriptor here, and programs replace it.
  const own = Object.getOwnPropertyDescriptor(owner, name) ?? { configurable: true, writable: true };
  Object.defineProperty(owner, name, { ...own, value: measured });
}

function statement(first) {
  const text = typeof first === 'string' ? first : String((first && (first.text || first.sql)) || '');
  return ['sql', nameOf(text), text];
}

function command(first) {
  return [
    'cache',
    String((first && first.name) || 'COMMAND')
      .slice(0, 40)
      .toUpperCase(),
    '',
  ];
}

const LIBRARIES = [
  [
    /(^|\/node_modules\/)pg(\/lib\/index\.js)?$/,
    (found) => measure(found.Client && found.Client.prototype, 'query', statement),
  ],
  [
    /(^|\/node_modules\/)mysql2(\/index\.js|\/promise(\.js)?)?$/,
    (found) => {
      const owner = found.Connection && found.Connection.prototype;
      for (const name of ['query', 'execute']) measure(owner, name, statement);
    },
  ],
  [
    /(^|\/node_modules\/)better-sqlite3(\/lib\/index\.js)?$/,
    (found) => {
      const { prepare } = found.prototype;
      if (patched.has(prepare)) return;
      found.prototype.prepare = function prepareMeasured(text, ...more) {
        const made = prepare.call(this, text, ...more);
        const owner = Object.getPrototypeOf(made);
        for (const name of ['run', 'get', 'all']) measureStatement(owner, name);
        return made;
      };
      patched.add(found.prototype.prepare);
    },
  ],
  [
    /(^|\/node_modules\/)ioredis(\/built\/index\.js)?$/,
    (found) => {
      measure((found.default || found).prototype, 'sendCommand', command);
    },
  ],
];

function measureStatement(owner, name) {
  const original = owner[name];
  if (typeof original !== 'function' || patched.has(original)) return;
  function measured(...given) {
    const active = requests.getStore();
    if (active === undefined) return original.apply(this, given);
    const began = now();
    let failure = null;
    try {
      return original.apply(this, given);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      guarded(() => active.add('sql', began, nameOf(this.source), this.source, 0, named(failure)))();
    }
  }
  patched.add(measured);
  owner[name] = measured;
}

function watchLibraries() {
  const load = Module._load;
  Module._load = function loadMeasured(request, ...more) {
    const found = load.call(this, request, ...more);
    try {
      if (typeof request === 'string') {
        for (const [pattern, change] of LIBRARIES) if (pattern.test(request)) change(found);
      }
    } catch {
      // Not the package of that name.
    }
    return found;
  };
}

/** Measure from now on. */
exports.watch = guarded(() => {
  watchCalls();
  watchLibraries();
});
