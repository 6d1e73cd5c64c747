// Loaded into a Node program before its own files: writes the framework's own table of routes when the server listens.
'use strict'

const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const { createRequire } = require('node:module')
const diagnostics = require('node:diagnostics_channel')

const { ROUTES_FILE, ROUTES_PACKAGES } = process.env
const load = createRequire(`${ROUTES_PACKAGES}/x.js`)
const isNest = '@nestjs/core' in JSON.parse(fs.readFileSync('package.json', 'utf8')).dependencies
const routes = []
const dumps = []

const add = (method, path) => routes.push({ method: String(method).toUpperCase(), path })
const tried = (name) => {
  try {
    return load(name)
  } catch {
    return undefined
  }
}

function finish () {
  dumps.forEach((dump) => dump())
  fs.writeFileSync(ROUTES_FILE, JSON.stringify(routes))
  process.exit(0)
}
globalThis.finishRoutes = finish
globalThis.addRoute = add

// A free port instead of the project's.
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function () {
  this.once('listening', () => setImmediate(finish))
  return listen.call(this, 0, '127.0.0.1')
}

// Fastify publishes each instance; its hook is called for each route.
diagnostics.channel('fastify.initialization').subscribe(({ fastify }) => {
  fastify.addHook('onRoute', ({ method, url }) => {
    const methods = [].concat(method)
    const all = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].every((name) => methods.includes(name))
    for (const name of all ? ['*'] : methods) add(name, url)
  })
})

// Koa: the routers among the middleware keep their layers.
const Koa = tried('koa')
const mount = tried('koa-mount')
const compose = tried('koa-compose')
if (Koa) {
  const apps = new Set()
  const callback = Koa.prototype.callback
  Koa.prototype.callback = function () {
    apps.add(this)
    return callback.call(this)
  }
  const walk = (middleware, prefix) => {
    for (const one of middleware) {
      if (one.mounted) walk(one.mounted.app.middleware, prefix + one.mounted.prefix)
      if (one.composed) walk(one.composed, prefix)
      for (const layer of one.router?.stack ?? []) {
        const all = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].every((name) => layer.methods.includes(name))
        for (const name of all ? ['*'] : layer.methods) add(name, prefix + layer.path)
      }
    }
  }
  dumps.push(() => apps.forEach((app) => walk(app.middleware, '')))
}
if (mount) {
  require.cache[load.resolve('koa-mount')].exports = (prefix, app) =>
    Object.assign(mount(prefix, app), { mounted: { prefix, app } })
}
if (compose) {
  require.cache[load.resolve('koa-compose')].exports = (list) => Object.assign(compose(list), { composed: list })
}

// Express keeps no prefixes: they are noted where a router is used.
const express = tried('express')
if (express) {
  const prefixes = new WeakMap()
  const note = (owner, args) => {
    const paths = typeof args[0] === 'function' ? [''] : [].concat(args[0])
    for (const handler of args.flat(Infinity)) {
      if (typeof handler === 'function') {
        prefixes.set(owner, [...(prefixes.get(owner) ?? []), ...paths.map((path) => [path, handler])])
      }
    }
  }
  for (const proto of [express.application, express.Router.prototype ?? express.Router]) {
    const use = proto.use
    proto.use = function (...args) {
      note(this, args)
      return use.apply(this, args)
    }
  }
  // `router` of an application of Express 4 raises.
  const stackOf = (owner) => owner.stack ?? (owner._router ?? owner.router)?.stack
  const walk = (owner, prefix) => {
    const stack = stackOf(owner) ?? []
    for (const { route } of stack) {
      for (const path of route ? [].concat(route.path) : []) {
        const names = Object.keys(route.methods)
        const handlers = route.stack.map(({ handle }) => handle.name)
        const any = route.methods._all || names.length > 9
        // Nest's own answer to an unknown path below the global prefix, or to an excluded one.
        if (isNest && handlers.every((name) => name === '') && (any || path.endsWith('*path'))) continue
        for (const name of any ? ['*'] : names) add(name, prefix + path)
      }
    }
    for (const [path, handler] of prefixes.get(owner) ?? []) {
      if (stackOf(handler)) walk(handler, prefix + path)
    }
  }
  const createServer = http.createServer
  http.createServer = function (...args) {
    const app = args.find((one) => typeof one === 'function' && one.handle && one.set)
    if (app) dumps.push(() => walk(app, ''))
    return createServer.apply(this, args)
  }
}
