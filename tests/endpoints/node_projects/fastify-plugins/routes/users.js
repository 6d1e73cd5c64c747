const userBody = {
  type: 'object',
  required: ['name'],
  properties: {
    name: { type: 'string' },
    age: { type: 'integer' },
    tags: { type: 'array', items: { type: 'string' } }
  }
}

async function routes (fastify, options) {
  fastify.get('/', {
    schema: {
      summary: 'List users',
      querystring: { type: 'object', properties: { page: { type: 'integer' }, q: { type: 'string' } } }
    }
  }, async () => [])
  fastify.get('/:id', async (request) => ({ id: request.params.id }))
  fastify.post('/', { schema: { body: userBody } }, async (request, reply) => reply.code(201).send(request.body))
  fastify.put('/:id(^\\d+)', { schema: { body: userBody } }, async (request) => request.body)
  fastify.delete('/:id', async (request, reply) => reply.code(204).send())
}

module.exports = routes
