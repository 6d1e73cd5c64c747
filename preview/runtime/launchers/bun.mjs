// Makes a Bun program serve on PORT: the first server on a fixed TCP port gets that port. All other servers are unchanged.
// Lists the routes of an Elysia application over the control channel; see handover.cjs.
//
// `bun --preload` loads this file before the program, and waits for it. All of Bun's HTTP servers are opened by
// `Bun.serve`: those of `export default { fetch }`, of node:http, and of Elysia. Bun serves on no inherited socket.
import fs from 'node:fs';
import { leadHome } from './hosts.cjs';
import { listElysia } from './routes.cjs';

const ownPort = Number(process.env.PORT);
// Names of this machine that may mean `::1` alone.
const LOCAL = new Set(['localhost', '::1']);
const MOST_CHARACTERS = 64;
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

/** Answer the service's orders `routes N` with the routes that `list` returns. */
async function answer(list) {
  const [fd, inode] = (process.env.PREVIEW_CONTROL || '').split(':').map(Number);
  const status = fs.fstatSync(fd);
  if (!status.isSocket() || status.ino !== inode) return;
  let heard = '';
  let unsent = Buffer.alloc(0);
  function drain(socket) {
    unsent = unsent.subarray(Math.max(socket.write(unsent), 0));
  }
  function data(socket, given) {
    const lines = (heard + given).split('\n');
    heard = lines.pop().slice(-MOST_CHARACTERS);
    for (const line of lines) {
      const asked = /^routes (\d+)$/.exec(line);
      const told = asked ? list().map((route) => `route ${asked[1]} ${route}\n`) : [];
      if (asked) unsent = Buffer.concat([unsent, Buffer.from(`${told.join('')}routes ${asked[1]}\n`)]);
    }
    if (unsent.length > 0) drain(socket);
  }
  // The channel alone must not keep the program running.
  const channel = await Bun.connect({ fd, socket: { data, drain, error() {} } });
  channel.unref();
  channel.write('workers\n');
}

/** Note the application that listens, if the project has Elysia. */
async function watchElysia() {
  const { Elysia } = await import(Bun.resolveSync('elysia', process.cwd()));
  // What all applications listen through, from Elysia 1.2 on.
  const adapter = new Elysia()['~adapter'];
  const { listen } = adapter;
  const apps = new Set();
  adapter.listen = function listenNoting(app) {
    if (apps.size === 0) answer(() => listElysia([...apps])).catch(() => {});
    apps.add(app);
    return listen.call(this, app);
  };
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
  try {
    await watchElysia();
  } catch {
    // The project has no Elysia, or another one.
  }
}
