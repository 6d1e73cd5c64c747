import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { productRoutes } from './modules/product/product.route.js'
import orderRoutes from './modules/order/order.route.js'

const API_VERSION = 'v1' as const

export async function buildServer(options: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const server = Fastify(options)

  server.get('/healthcheck', async () => ({ status: 'OK' }))

  const modules = [
    { plugin: productRoutes, prefix: 'products' },
    { plugin: orderRoutes, prefix: 'orders' },
  ]
  for (const { plugin, prefix } of modules) {
    await server.register(plugin, { prefix: `/api/${API_VERSION}/${prefix}` })
  }
  server.setErrorHandler((error, _request, reply) => {
    reply.status(500).send({ message: (error as Error).message })
  })
  return server
}
