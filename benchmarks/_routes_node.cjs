// Prints the route table of a server in Node when it would listen, and ends it; run inside a preview's environment:
//     node --require ./_routes_node.cjs ENTRY
// Each route is a line `@@route METHOD PATH`. Reads Express and what is built on it, Fastify, Koa's routers and Hono.
'use strict';

const Module = require('node:module');
const net = require('node:net');

const express = [];
const koa = [];
const fastify = new Set();
const seen = new WeakSet();

function show(method, path) {
  const name = String(method).toUpperCase();
  if (name !== 'HEAD' && name !== 'OPTIONS') console.log(`@@route ${name} ${`/${path}`.replace(/\/{2,}/g, '/')}`);
}

const joined = (prefix, path) => (path === '/' ? prefix : prefix.replace(/\/$/, '') + path) || '/';
const texts = (path) => [path].flat(Infinity).map((one) => (one instanceof RegExp ? one.source : String(one)));

function hookExpress(exports) {
  const Router = exports.Router;
  const owner = Router.prototype && typeof Router.prototype.use === 'function' ? Router.prototype : Router;
  const use = owner.use;
  owner.use = function (first, ...rest) {
    const before = this.stack.length;
    const result = use.call(this, first, ...rest);
    const path = typeof first === 'function' || (Array.isArray(first) && typeof first.flat(Infinity)[0] === 'function') ? '/' : first;
    for (const layer of this.stack.slice(before)) layer.previewPath = path;
    return result;
  };
  const { init, use: appUse } = exports.application;
  exports.application.init = function (...given) {
    express.push(this);
    return init.apply(this, given);
  };
  exports.application.use = function (first, ...rest) {
    const path = typeof first === 'string' ? first : '/';
    for (const one of [first, ...rest].flat(Infinity)) {
      if (typeof one === 'function' && one.handle && one.set) {
        one.previewParent = true;
        (this.previewMounted ??= []).push([path, one]);
      }
    }
    return appUse.call(this, first, ...rest);
  };
}

function walkExpress(router, prefix) {
  for (const layer of router?.stack ?? []) {
    if (layer.route) {
      for (const path of texts(layer.route.path)) {
        const methods = layer.route.methods;
        for (const method of methods._all ? ['*'] : Object.keys(methods)) show(method, joined(prefix, path));
      }
    } else if (layer.handle?.stack) {
      for (const path of texts(layer.previewPath ?? '/')) walkExpress(layer.handle, joined(prefix, path));
    }
  }
}

function walkApp(app, prefix) {
  walkExpress(app._router ?? app.router, prefix);
  for (const [path, mounted] of app.previewMounted ?? []) walkApp(mounted, joined(prefix, path));
}

// Each instance has an object with its hooks; those of its plugins are copies of it.
function hookFastify(exports) {
  const Usual = exports.Hooks;
  exports.Hooks = function () {
    const hooks = new Usual();
    hooks.onRoute.push((route) => {
      for (const method of [route.method].flat()) fastify.add(`${method} ${route.url}`);
    });
    return hooks;
  };
  return exports;
}

function hookKoa(exports) {
  const use = exports.prototype.use;
  exports.prototype.use = function (fn) {
    if (fn?.router) koa.push(fn.router);
    return use.call(this, fn);
  };
}

const load = Module._load;
Module._load = function (request, parent, ...rest) {
  const exports = load.call(this, request, parent, ...rest);
  const isHooks = /^\.\/(?:lib\/)?hooks(?:\.js)?$/.test(request) && /[\\/]node_modules[\\/]fastify[\\/]/.test(parent?.filename ?? '');
  if (isHooks && !seen.has(exports)) {
    seen.add(exports);
    return hookFastify(exports);
  }
  const name = /(?:^|[\\/]node_modules[\\/])(express|koa)(?:[\\/](?:index|lib[\\/]application)\.js)?$/.exec(request)?.[1];
  if (!name || !exports || typeof exports !== 'function') return exports;
  if (!seen.has(exports) && (name === 'koa' ? exports.prototype?.use : exports.application)) {
    seen.add(exports);
    name === 'koa' ? hookKoa(exports) : hookExpress(exports);
  }
  return exports;
};

// Hono is an ES module: its base class is changed where it is loaded.
const loader = `
export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (!/[/]node_modules[/]hono[/]dist[/]hono-base[.]js$/.test(url)) return loaded;
  const source = String(loaded.source).replace(/constructor\\(([^)]*)\\) \\{/, 'constructor($1) { (globalThis.previewHono ??= []).push(this);');
  return { ...loaded, source };
}`;
// Its other build is a module of CommonJS.
const compile = Module.prototype._compile;
Module.prototype._compile = function (text, file, ...rest) {
  const isHono = /[\\/]node_modules[\\/]hono[\\/]dist[\\/]cjs[\\/]hono-base[.]js$/.test(file);
  const marked = 'constructor($1) { (globalThis.previewHono ??= []).push(this);';
  return compile.call(this, isHono ? String(text).replace(/constructor\(([^)]*)\) \{/, marked) : text, file, ...rest);
};
Module.register?.(`data:text/javascript,${encodeURIComponent(loader)}`);

net.Server.prototype.listen = function () {
  for (const app of express) if (!app.previewParent) walkApp(app, '');
  for (const one of fastify) show(...one.split(' '));
  for (const router of koa) {
    for (const layer of router.stack) for (const method of layer.methods.length ? layer.methods : []) show(method, layer.path);
  }
  // The application that the others were routed into has the most.
  const hono = (globalThis.previewHono ?? []).map((app) => app.routes).sort((one, other) => other.length - one.length)[0] ?? [];
  for (const route of hono) if (route.method !== 'ALL') show(route.method, route.path);
  console.log('@@done');
  process.exit(0);
};
