'use strict'

const Fastify = require('fastify')

function buildApp (options = {}) {
  const app = Fastify(options)

  app.register(require('@fastify/cors'))
  app.register(require('@fastify/sensible'))
  app.register(require('./routes/podcasts'), { prefix: '/api/podcasts' })

  app.get('/health', async () => ({ status: 'ok' }))

  return app
}

module.exports = { buildApp }
