'use strict'

const fastify = require('fastify')({ logger: true })

fastify.register(require('./plugins/db'))
fastify.register(require('./routes/users'), { prefix: '/api/users' })
fastify.register(require('./routes/posts'), { prefix: '/api' })
fastify.register(function admin (instance, opts, done) {
  instance.get('/', async () => ({ admin: true }))
  instance.register(async (inner) => {
    inner.delete('/cache/:key', async () => ({}))
    inner.all('/echo', async (request) => request.body)
  }, { prefix: '/tools' })
  done()
}, { prefix: '/admin' })

fastify.get('/health', async () => ({ status: 'ok' }))

const start = async () => {
  try {
    await fastify.listen({ port: process.env.PORT || 3000, host: '0.0.0.0' })
  } catch (err) {
    fastify.log.error(err)
    process.exit(1)
  }
}
start()
