// Marks the lines that a Node program writes to `process.stderr`, which `console.error` and `console.warn` use: with
// `ESC ] 7473 ; ; 2 ESC \` before each. See preview_requests.py. Standard output and error are one pipe, written
// synchronously (nodejs.org, process, "A note on process I/O"), so their order stays.
//
// What Node itself writes to the descriptor has no mark: an uncaught exception above all.
'use strict';

const fs = require('fs');
const { isMainThread } = require('worker_threads');

const MARK = '\x1b]7473;;2\x1b\\';
// Starts of lines within a text; each state of a progress bar is a line, too.
const LINE_START = /(?<=\n)(?=[^])|(?<=\r)(?=[^\r\n])/g;
// `DEVICE:INODE` of the log, from the service. A file, and a program that reads standard error, get it as it is.
const LOG = process.env.PREVIEW_STDERR;

function isLog() {
  try {
    const { dev, ino } = fs.fstatSync(2);
    return `${dev}:${ino}` === LOG;
  } catch {
    return false;
  }
}

/** Each part of a line has a mark, as another program may have ended the line. The service counts only the first. */
function marked(text) {
  return MARK + text.replace(LINE_START, MARK);
}

/** Wrap `write`. Bytes are read as Latin-1 and written back as they were: a line end is one byte in UTF-8. */
function wrap(stream) {
  const { write } = stream;
  stream.write = function writeMarked(chunk, ...more) {
    if (typeof chunk === 'string' && chunk !== '' && (typeof more[0] !== 'string' || /^utf-?8$/i.test(more[0]))) {
      return write.call(this, marked(chunk), ...more);
    }
    if (chunk instanceof Uint8Array && chunk.length > 0) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      // No mark within a character.
      if ((bytes[0] & 0xc0) === 0x80) return write.call(this, chunk, ...more);
      return write.call(this, Buffer.from(marked(bytes.toString('latin1')), 'latin1'), ...more);
    }
    return write.call(this, chunk, ...more);
  };
  return stream;
}

/** Mark this process's lines, once it first uses the stream. A thread's lines go through its process. */
exports.markErrors = function markErrors() {
  const own = Object.getOwnPropertyDescriptor(process, 'stderr');
  if (!isMainThread || !own || !own.get || !own.configurable || !isLog()) return;
  let wrapped = null;
  Object.defineProperty(process, 'stderr', {
    ...own,
    get() {
      if (wrapped === null) {
        const stream = own.get.call(process);
        try {
          wrapped = wrap(stream);
        } catch {
          wrapped = stream;
        }
      }
      return wrapped;
    },
  });
};
