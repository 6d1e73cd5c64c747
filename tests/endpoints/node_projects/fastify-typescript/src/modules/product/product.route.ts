import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type, type Static } from '@sinclair/typebox'

const Product = Type.Object({
  title: Type.String(),
  price: Type.Number(),
  content: Type.Optional(Type.String()),
})
type ProductInput = Static<typeof Product>

export async function productRoutes(server: FastifyInstance) {
  server.get<{ Querystring: { limit?: number } }>(
    '/',
    { schema: { querystring: Type.Object({ limit: Type.Optional(Type.Integer()) }) } },
    async (request) => ({ limit: request.query.limit }),
  )
  server.post<{ Body: ProductInput }>('/', { schema: { body: Product } }, async (request) => request.body)
  server.get('/:productId', async (request: FastifyRequest<{ Params: { productId: string } }>) => request.params)
}
