import type { FastifyReply, FastifyRequest } from 'fastify'

export async function listOrders(_request: FastifyRequest, reply: FastifyReply) {
  return reply.send([])
}

export async function createOrder(request: FastifyRequest, reply: FastifyReply) {
  const { sku, quantity = 1 } = request.body as { sku: string; quantity?: number }
  return reply.code(201).send({ sku, quantity })
}
