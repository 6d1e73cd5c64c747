import Fastify from 'fastify'
import fp from 'fastify-plugin'
import orders from './routes/orders.js'
import { breads, cakes } from './routes/goods.js'

const fastify = Fastify({ logger: true })
const auth = fp(async (app) => {
  app.decorate('user', null)
  app.get('/me', async () => ({}))
})

fastify.register(auth)
fastify.register(orders, { prefix: '/orders' })
fastify.register(async function api (app, options) {
  for (const [prefix, plugin] of [['/breads', breads], ['/cakes', cakes]]) app.register(plugin, { prefix })
  app.register(import('./routes/late.js'))
}, { prefix: '/api/v1' })
fastify.route({ method: ['GET', 'POST'], url: '/echo/:word(^[a-z]+$)', handler: async (request) => request.params })
fastify.all('/any/*', async () => 'any')

await fastify.listen({ port: 3000 })
