module.exports = function (fastify, opts, done) {
  fastify.route({
    method: 'GET',
    url: '/posts',
    handler: async () => []
  })
  fastify.route({
    method: ['PUT', 'PATCH'],
    url: '/posts/:id',
    preHandler: async () => {},
    handler: function update (request, reply) {
      reply.send({ title: request.body.title })
    }
  })
  fastify.get('/posts/:year-:month/files/*', async () => [])
  fastify.post('/posts::publish', async () => ({}))
  done()
}
