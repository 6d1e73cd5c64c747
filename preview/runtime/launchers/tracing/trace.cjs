// Reports spans of each request to the service over the control channel, as preview_trace.py does: one line
// `span DROPPED [KIND, TRACE, SPAN, PARENT, START_US, DURATION_US, NAME, DETAIL, STATUS, ERROR, REQUEST_ID]` for each.
// Outgoing requests come from Node's own diagnostics channels; clients of databases are changed when they are loaded.
//
// Any error here has no effect on the program: the span is left out. Workers of a cluster report through their primary
// process, as in reports.cjs.
'use strict';

const cluster = require('cluster');
const crypto = require('crypto');
const diagnostics = require('diagnostics_channel');
const { errorMonitor } = require('events');
const watchLibraries = require('./libraries.cjs');
const { guarded, named, newId, now, requests } = require('./shared.cjs');

const MOST_PER_S = 2000;
const MOST_IN_REQUEST = 1000;
const MOST_UNSENT = 65536;
const MOST_LINE = 8192;
const MOST_DETAIL = 2000;
const MOST_NAME = 200;
const PART = 50;
const PARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}/;
const SPANS = 'NODE_PREVIEW_SPANS';
const MOST_MESSAGE = MOST_UNSENT + MOST_LINE + 32;
// Whole lines of spans.
const WHOLE = /^(?:span [ -~]+\n)+$/;
const PARENT_FIELD = 'traceparent';

// By outgoing request: what was noted at its start.
const calls = new WeakMap();
// By outgoing request with a `traceparent`: the id of its span.
const ids = new WeakMap();

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
    this.spanId = newId();
    this.requestId = headers['x-request-id'] || '';
    this.name = `${method} ${url.split('?', 1)[0]}`;
    this.startUs = Date.now() * 1000;
    this.began = now();
    this.spans = [];
    this.count = 0;
  }

  add(kind, began, name, detail, status, error, known = '') {
    this.count += 1;
    if (this.count > MOST_IN_REQUEST) {
      sender.dropped = Math.min(sender.dropped + 1, 9999999);
      return;
    }
    const start = this.startUs + (began - this.began);
    const id = known || newId();
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

/** Send through the primary process of this worker from now on. */
exports.sendByPrimary = function sendByPrimary() {
  let waiting = '';
  let unsent = 0;
  function send() {
    const text = waiting;
    waiting = '';
    if (!process.connected) return;
    unsent += text.length;
    process.send({ cmd: SPANS, text }, () => {
      unsent -= text.length;
    });
  }
  sender.channel = {
    destroyed: false,
    get writableLength() {
      return waiting.length + unsent;
    },
    write(line) {
      // Those of one turn of the loop are one message.
      if (waiting === '') setImmediate(guarded(send));
      waiting += line;
    },
  };
};

/** Pass the spans of this process's workers on over this channel. */
exports.openWorkers = function openWorkers(channel) {
  const taken = new WeakSet();
  function take(worker) {
    if (taken.has(worker)) return;
    taken.add(worker);
    worker.process.on('internalMessage', (message) => {
      const { cmd, text } = message || {};
      if (cmd !== SPANS || typeof text !== 'string' || text.length > MOST_MESSAGE || !WHOLE.test(text)) return;
      if (!channel.destroyed && channel.writableLength <= MOST_UNSENT) channel.write(text);
    });
  }
  cluster.on('fork', take);
  Object.values(cluster.workers || {}).forEach(take);
};

/** Send over this channel from now on. */
exports.sendOver = function sendOver(channel) {
  sender.channel = channel;
};

// Outgoing requests

/** Note the id of an outgoing request's span, and return the value of `traceparent`; nothing outside of a request. */
function parentOf(request) {
  const active = requests.getStore();
  if (active === undefined) return '';
  const id = newId();
  ids.set(request, id);
  return `00-${active.traceId}-${id}-01`;
}

/** Send requests of `http` and `https` with a `traceparent` (W3C Trace Context), unless they have one. */
function addParents() {
  const { prototype } = require('http').ClientRequest;
  const write = prototype._implicitHeader;
  prototype._implicitHeader = function writeWithParent(...given) {
    try {
      const parent = this.hasHeader(PARENT_FIELD) ? '' : parentOf(this);
      if (parent) this.setHeader(PARENT_FIELD, parent);
    } catch {
      // It is sent without.
    }
    return write.apply(this, given);
  };
}

/** The same for `fetch`, whose request has its headers as a list; before Node 20 as a text. */
function addParent(request) {
  const { headers } = request;
  const names = Array.isArray(headers)
    ? headers.filter((_, at) => at % 2 === 0)
    : String(headers).match(/^[^:\r\n]+/gm);
  if ((names || []).some((one) => String(one).toLowerCase() === PARENT_FIELD)) return;
  const parent = parentOf(request);
  if (parent) request.addHeader(PARENT_FIELD, parent);
}

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
  call.active.add('call', call.began, call.name, call.detail, status, error, ids.get(request));
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
  subscribe('undici:request:create', ({ request }) => {
    begin(request, request.method, `${request.origin}${request.path}`);
    addParent(request);
  });
  subscribe('undici:request:headers', ({ request, response }) => finish(request, response.statusCode, ''));
  subscribe('undici:request:error', ({ request, error }) => finish(request, 0, named(error)));
}

/** Measure from now on. */
exports.watch = guarded(() => {
  watchCalls();
  guarded(addParents)();
  watchLibraries();
});
