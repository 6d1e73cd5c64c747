// The control channel of a Node server on the inherited socket: it says that it serves, and is told to let go.
//
// To the service: `ready` when the server listens, `closed` when it accepts no more, `drained` when it has answered all that it has accepted. From the
// service: `drain`. Each is a line. See preview_control.py.
'use strict';

const fs = require('fs');
const net = require('net');

// A connection on which nothing is under way is kept so long: a request that its client is just sending would be lost.
const SILENT_MS = 500;
const LOOK_MS = 10;
const MOST_CHARACTERS = 64;

function openChannel() {
  const [descriptor, inode] = (process.env.PREVIEW_CONTROL || '').split(':').map(Number);
  try {
    const status = fs.fstatSync(descriptor);
    if (!status.isSocket() || status.ino !== inode) return null;
    const channel = new net.Socket({ fd: descriptor, readable: true, writable: true });
    // The service may be gone; and the program ends when it has nothing else to do.
    channel.on('error', () => channel.destroy());
    return channel.unref();
  } catch {
    return null;
  }
}

/** Have the server speak the channel from the moment it listens. */
exports.handOver = function handOver(server) {
  const connections = new Set();
  // How many answers are under way on each; requests may be sent ahead of answers.
  const answers = new Map();
  let draining = false;

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
      // Without a parser it is no HTTP (any more): a WebSocket is never silent.
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
      // What has come meanwhile is read ahead of that.
      if (Date.now() >= silentFrom) setImmediate(closeSilent);
    }, LOOK_MS);
    // Not that of http, which closes connections whose request may be on its way.
    net.Server.prototype.close.call(server, () => {
      clearInterval(looking);
      channel.write('drained\n', () => process.exit(0));
    });
    channel.write('closed\n');
  }

  server.once('listening', () => {
    const channel = openChannel();
    if (channel === null) return;
    let heard = '';
    channel.on('data', (data) => {
      heard = (heard + data).slice(-MOST_CHARACTERS);
      if (!draining && heard.includes('drain\n')) drain(channel);
    });
    channel.write('ready\n');
  });
};
