const fp = require('fastify-plugin')

module.exports = fp(async function (fastify, opts) {
  fastify.decorate('db', new Map())
  fastify.get('/db/status', async () => ({ size: fastify.db.size }))
}, { name: 'db' })
