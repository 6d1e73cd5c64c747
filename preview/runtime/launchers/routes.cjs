// Lists the routes of the program's own application, for a report to the service (see handover.cjs): Express, NestJS,
// Fastify, Hono, and Koa with its router; and Elysia on Bun. See preview/endpoints/application.py for the lines.
//
// `watch` notes objects that nothing leads to later: the path of a mounted router (Express), the application behind a
// callback (Koa), each route (Fastify, through its own diagnostics channel; Hono, as its router gets them). Nothing else
// of the program changes.
'use strict';

const cluster = require('cluster');
const Module = require('module');
const { pathToFileURL } = require('url');

const MOST_LINES = 10000;
const MOST_CHARACTERS = 300000;
const MOST_LINE = 600;
const DEEPEST = 20;
// `app.all` of Express 4 registers each method that Node knows.
const ALL_METHODS = 20;

const EXPRESS = /(^|\/)express(\/index\.js|\/lib\/express\.js)?$/;
const KOA = /(^|\/)koa(\/lib\/application\.js)?$/;

// By layer: the path and the application that were given to `use`.
const paths = new WeakMap();
const mounted = new WeakMap();
// By callback: the Koa application.
const koas = new WeakMap();
const expressApps = new Set();
const fastifies = new Set();
const patched = new WeakSet();
// By router of Hono: its routes. Hono adds them to the router that answers its first request.
const honoRoutes = new WeakMap();
const honoRouters = [];
const MOST_ROUTERS = 100;

/** Wrap a method; `note` gets the object, the arguments and the result, and its errors have no effect. */
function wrap(owner, name, note) {
  const original = owner[name];
  if (typeof original !== 'function') return;
  function noting(...given) {
    const result = original.apply(this, given);
    try {
      note(this, given, result);
    } catch {
      // The report is then incomplete.
    }
    return result;
  }
  Object.defineProperty(noting, 'name', { value: original.name, configurable: true });
  Object.defineProperty(noting, 'length', { value: original.length, configurable: true });
  Object.defineProperty(owner, name, { ...Object.getOwnPropertyDescriptor(owner, name), value: noting });
}

function pathOf(given) {
  let first = given[0];
  while (Array.isArray(first) && first.length > 0) [first] = first;
  return typeof first === 'function' ? '/' : given[0];
}

function routerOf(app) {
  if (app._router) return app._router;
  try {
    return app.router;
  } catch {
    return undefined; // Express 4 without routes
  }
}

function watchExpress(express) {
  const { Router, application } = express;
  if (!Router || !application || patched.has(application)) return;
  patched.add(application);
  const owner = Router.prototype && Router.prototype.use ? Router.prototype : Router;
  wrap(owner, 'use', (router, given) => {
    for (const layer of router.stack) if (!layer.route && !paths.has(layer)) paths.set(layer, pathOf(given));
  });
  wrap(application, 'use', (app, given) => {
    const apps = given.flat(Infinity).filter((one) => typeof one === 'function' && one.handle && one.set);
    const layers = routerOf(app).stack.filter((one) => one.name === 'mounted_app');
    layers.slice(layers.length - apps.length).forEach((layer, at) => mounted.set(layer, apps[at]));
    for (const one of apps) expressApps.delete(one);
  });
  wrap(application, 'init', (app) => expressApps.add(app));
}

function watchKoa(koa) {
  const Koa = typeof koa === 'function' ? koa : koa.default;
  if (typeof Koa !== 'function' || patched.has(Koa)) return;
  patched.add(Koa);
  wrap(Koa.prototype, 'callback', (app, _, callback) => koas.set(callback, app));
}

function watchFastify() {
  const channel = require('diagnostics_channel').channel('fastify.initialization');
  channel.subscribe(({ fastify }) => {
    const routes = [];
    fastifies.add({ fastify, routes });
    fastify.addHook('onRoute', (route) => {
      if (routes.length < MOST_LINES) routes.push([route.method, route.url]);
    });
  });
}

function noteFirstMatch(router) {
  const { match } = router;
  router.match = function firstMatch(...given) {
    router.match = match;
    // Throws if this kind of router does not support a path: Hono then tries another one.
    const found = match.apply(router, given);
    if (honoRouters.length < MOST_ROUTERS) honoRouters.push(router);
    return found;
  };
}

function watchHono(found) {
  for (const Router of [found.RegExpRouter, found.TrieRouter]) {
    if (typeof Router !== 'function' || patched.has(Router)) continue;
    patched.add(Router);
    wrap(Router.prototype, 'add', (router, [method, path, handlers]) => {
      if (!honoRoutes.has(router)) {
        honoRoutes.set(router, []);
        noteFirstMatch(router);
      }
      const routes = honoRoutes.get(router);
      // Middleware takes `next` too.
      const handler = [handlers].flat()[0];
      const isMiddleware = method === 'ALL' && (handler.__COMPOSED_HANDLER || handler).length > 1;
      if (routes.length < MOST_LINES) routes.push([isMiddleware ? '?' : method, String(path)]);
    });
  }
}

/** Note the routers of Hono, if the program has that package; before its server answers for the first time. */
exports.findHono = function findHono() {
  if (expressApps.size > 0 || fastifies.size > 0) return;
  try {
    const main = Module.createRequire(process.argv[1]).resolve('hono');
    const at = main.lastIndexOf('/hono/dist/');
    for (const name of at < 0 ? [] : ['reg-exp-router', 'trie-router']) {
      const dist = main.slice(0, at + 11);
      const file = `router/${name}/router.js`;
      const loaded = require.cache[`${dist}cjs/${file}`];
      // The same file as the program's own import has: it is not loaded twice.
      if (loaded) watchHono(loaded.exports);
      else import(pathToFileURL(dist + file).href).then(watchHono, () => {});
    }
  } catch {
    // The program does not have it.
  }
};

/** Note what `list` needs, from now on. */
exports.watch = function watch() {
  const load = Module._load;
  Module._load = function loadWatched(request, ...more) {
    const found = load.call(this, request, ...more);
    try {
      if (typeof request === 'string') {
        if (EXPRESS.test(request)) watchExpress(found);
        else if (KOA.test(request)) watchKoa(found);
      }
    } catch {
      // Not the package of that name.
    }
    return found;
  };
  try {
    watchFastify();
  } catch {
    // An old Node.
  }
};

class Full extends Error {}

class Table {
  constructor() {
    this.lines = [];
    this.characters = 0;
  }

  add(method, parts) {
    const line = [method, ...parts.map((part) => `e${part}`)].join('\t');
    this.characters += line.length;
    if (this.lines.length >= MOST_LINES - 1 || this.characters > MOST_CHARACTERS) throw new Full();
    if (line.length <= MOST_LINE && !line.includes('\n')) this.lines.push(line);
  }
}

/** Return a path, several, or a regular expression as texts; undefined if it is not known. */
function textsOf(path) {
  const all = [path].flat(Infinity).map((one) => (one instanceof RegExp ? `/${one.source}/` : one));
  return all.every((one) => typeof one === 'string') ? all : undefined;
}

function addExpress(table, router, parts, above) {
  // A router may be mounted in itself.
  const isKnown = router && Array.isArray(router.stack) && !above.includes(router);
  if (!isKnown || above.length > DEEPEST) return table.add('?', parts);
  for (const layer of router.stack) {
    if (layer.route) addRoute(table, layer.route, parts);
    else addMount(table, layer, parts, [...above, router]);
  }
}

function addRoute(table, route, parts) {
  const names = Object.keys(route.methods).filter((name) => route.methods[name]);
  const all = route.methods._all || names.length > ALL_METHODS;
  for (const path of textsOf(route.path) || []) {
    for (const name of all ? ['*'] : names) table.add(name.toUpperCase(), [...parts, path]);
  }
}

function addMount(table, layer, parts, above) {
  const app = mounted.get(layer);
  const inner = app ? routerOf(app) : layer.handle;
  const isRouter = Boolean(inner && Array.isArray(inner.stack));
  const given = paths.has(layer) ? paths.get(layer) : layer.rawPath;
  const texts = textsOf(given);
  if (texts === undefined) {
    if (isRouter || layer.name === 'mounted_app') table.add('?', parts);
    return;
  }
  for (const path of texts) {
    if (isRouter) addExpress(table, inner, [...parts, path], above);
    // An application without routes has no router. Middleware below a path may answer there.
    else if (!app && path !== '/' && path !== '') table.add('?', [...parts, path]);
  }
}

function addFastify(table, routes) {
  // Below a prefix, Fastify reports `/` for GET with and for HEAD without the slash.
  const bare = (url) => String(url).replace(/(.)\/$/, '$1');
  const gets = new Set(routes.filter(([method]) => [method].flat().includes('GET')).map(([, url]) => bare(url)));
  for (const [method, url] of routes) {
    for (const name of [method].flat()) {
      // Fastify adds HEAD to each GET, and its plugins add OPTIONS.
      if (name !== 'OPTIONS' && !(name === 'HEAD' && gets.has(bare(url)))) table.add(String(name), [url]);
    }
  }
}

function addKoa(table, app) {
  for (const middleware of app.middleware) {
    for (const layer of middleware.router ? middleware.router.stack : []) {
      const methods = layer.methods.filter((name) => name !== 'HEAD' && name !== 'OPTIONS');
      const names = methods.length > ALL_METHODS ? ['*'] : methods;
      for (const path of textsOf(layer.path) || []) for (const name of names) table.add(name, [path]);
    }
  }
  // Middleware can hide routers.
  table.add('?', ['/']);
}

function addHono(table) {
  for (const [method, path] of honoRoutes.get(honoRouters[0])) {
    // `/:id{[0-9]+}` is `/:id`.
    const text = path.replace(/(:\w+)\{(?:[^{}]|\{[^{}]*\})*\}/g, '$1');
    const below = text.replace(/\/?\*$/, '');
    if (method !== '?') table.add(method === 'ALL' ? '*' : method, [text]);
    // Middleware below a path may answer there.
    else if (below !== '') table.add('?', [below]);
  }
  // Which of several applications serves is not known.
  if (honoRouters.length > 1) table.add('?', ['/']);
}

function addServer(table, server) {
  const listeners = server.listeners('request');
  const own = [...fastifies].filter(({ fastify }) => fastify.server === server);
  const fastify = own[0] || (fastifies.size === 1 && expressApps.size === 0 ? [...fastifies][0] : undefined);
  if (fastify) return addFastify(table, fastify.routes);
  const koa = listeners.map((one) => koas.get(one)).find(Boolean);
  if (koa) return addKoa(table, koa);
  const isApp = (one) => typeof one === 'function' && typeof one.handle === 'function' && typeof one.set === 'function';
  const app = listeners.find(isApp) || (expressApps.size === 1 ? [...expressApps][0] : undefined);
  if (app) return addExpress(table, routerOf(app), ['/'], []);
  return honoRouters.length > 0 ? addHono(table) : table.add('?', ['/']);
}

/** Return the report's lines for the application behind a server. */
exports.list = function list(server) {
  const table = new Table();
  try {
    addServer(table, server);
  } catch {
    table.lines.push('?\te/');
  }
  return table.lines;
};

/** Return the report's lines for Elysia's applications that listen. */
exports.listElysia = function listElysia(apps) {
  const table = new Table();
  try {
    for (const { method, path, hooks } of apps[0].routes) {
      const isHidden = hooks && hooks.detail && hooks.detail.hide;
      // Mounted programs are hidden, too, and have routes of their own; documentation has fixed paths.
      if (isHidden && method === 'ALL') table.add('?', [String(path).replace(/\/?\*$/, '')]);
      else if (!isHidden && method !== 'WS') table.add(method === 'ALL' ? '*' : String(method), [String(path)]);
    }
    // Which of several applications serves is not known.
    if (apps.length > 1) table.add('?', ['/']);
  } catch {
    table.lines.push('?\te/');
  }
  return table.lines;
};

// Between a cluster's primary process and its workers, as in reports.cjs.
const ORDER = 'NODE_PREVIEW_ROUTES';
const LIST = 'NODE_PREVIEW_ROUTE_LIST';

/** Answer the primary process's orders in a worker that serves. */
exports.answerPrimary = function answerPrimary(server) {
  process.on('internalMessage', (message) => {
    if (!message || message.cmd !== ORDER || !process.connected) return;
    // Errors have no effect: the primary may have ended.
    process.send({ cmd: LIST, number: message.number, lines: exports.list(server) }, () => {});
  });
};

/** Return a function that asks the workers; the first answer to each number is written to the channel. */
exports.openWorkers = function openWorkers(channel) {
  let open = '';
  const heard = new WeakSet();

  function hear(message) {
    const { cmd, number, lines } = message || {};
    if (cmd !== LIST || open === '' || number !== open || !Array.isArray(lines)) return;
    open = '';
    const table = lines.slice(0, MOST_LINES).filter((line) => typeof line === 'string' && !line.includes('\n'));
    const text = table.map((line) => `route ${number} ${line}\n`).join('');
    if (!channel.destroyed) channel.write(`${text}routes ${number}\n`);
  }

  return function ask(number) {
    open = number;
    for (const worker of Object.values(cluster.workers || {})) {
      if (!heard.has(worker)) worker.process.on('internalMessage', hear);
      heard.add(worker);
      try {
        if (worker.isConnected()) worker.process.send({ cmd: ORDER, number }, () => {});
      } catch {
        // It has just ended.
      }
    }
  };
};
