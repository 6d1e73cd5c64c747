'use strict'

const bodySchema = {
  type: 'object',
  required: ['title', 'host'],
  properties: {
    title: { type: 'string', minLength: 1 },
    host: { type: 'string' }
  }
}

module.exports = async function (fastify, opts) {
  const podcasts = new Map()
  let sequence = 0

  fastify.get('/', async () => [...podcasts.values()])

  fastify.post('/', { schema: { body: bodySchema } }, async (request, reply) => {
    const podcast = { id: ++sequence, ...request.body, episodes: [] }
    podcasts.set(podcast.id, podcast)
    return reply.code(201).send(podcast)
  })

  fastify.get('/:id', async (request) => {
    const podcast = podcasts.get(Number(request.params.id))
    if (!podcast) throw fastify.httpErrors.notFound('Podcast not found')
    return podcast
  })

  fastify.put('/:id', { schema: { body: bodySchema } }, async (request) => {
    const podcast = podcasts.get(Number(request.params.id))
    if (!podcast) throw fastify.httpErrors.notFound('Podcast not found')
    return Object.assign(podcast, request.body)
  })

  fastify.route({
    method: 'POST',
    url: '/:id/episodes',
    handler: async (request, reply) => {
      const podcast = podcasts.get(Number(request.params.id))
      if (!podcast) throw fastify.httpErrors.notFound('Podcast not found')
      podcast.episodes.push(request.body.title)
      return reply.code(201).send(podcast)
    }
  })

  fastify.delete('/:id', async (request, reply) => {
    podcasts.delete(Number(request.params.id))
    return reply.code(204).send()
  })
}
