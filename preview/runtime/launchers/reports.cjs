// Reports requests at the preview's own port, which the service does not see, over the control channel: one line
// `request DROPPED METHOD STATUS MICROSECONDS ID TARGET` for each. See preview_requests.py.
'use strict';

const crypto = require('crypto');

const MOST_PER_S = 100;
const MOST_TARGET = 1024;
// Unsent reports; a service that does not read them gets no more.
const MOST_UNSENT = 8192;
const SANE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;

/** Node reads a target as Latin-1: one character is one byte. */
function escaped(character) {
  return `%${(character.charCodeAt(0) % 256).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** Return the reporter; `mark` starts the ids of requests that the service has carried. */
exports.openReports = function openReports(channel, mark) {
  const prefix = `direct-${crypto.randomBytes(4).toString('hex')}-`;
  let count = 0;
  let dropped = 0;
  let left = 0;
  let second = 0;

  function report(request, status, began, name) {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) [second, left] = [now, MOST_PER_S];
    if (left === 0 || channel.destroyed || channel.writableLength > MOST_UNSENT) {
      dropped = Math.min(dropped + 1, 9999999);
      return;
    }
    left -= 1;
    const [seconds, nanoseconds] = process.hrtime(began);
    const took = Math.floor(seconds * 1e6 + nanoseconds / 1e3);
    const target = request.url.slice(0, MOST_TARGET).replace(/[^!-~]/g, escaped).slice(0, MOST_TARGET);
    channel.write(`request ${dropped} ${request.method} ${status} ${took} ${name} ${target}\n`);
    dropped = 0;
  }

  return {
    /** Report this request when its response is over. */
    watch(request, response) {
      const given = request.headers['x-request-id'] || '';
      if (given.startsWith(mark) || request.headers['user-agent'] === 'preview-probe') return;
      count += 1;
      const name = SANE.test(given) ? given : prefix + count;
      const began = process.hrtime();
      // The application may change `url` for its routers.
      const seen = { method: request.method, url: request.url };
      response.once('close', () => report(seen, response.headersSent ? response.statusCode : 0, began, name));
    },
  };
};
