const schema = { params: { type: 'object', properties: { id: { type: 'integer' } } } }

export default async function orders (fastify) {
  fastify.addHook('preHandler', async () => {})
  fastify.get('/', async () => [])
  fastify.post('/', { schema: {} }, async (request, reply) => reply.code(201).send({}))
  fastify.get('/:id', { schema }, async () => ({}))
  fastify.delete('/:id/lines/:line', async () => ({}))
}
