export default async function (fastify) {
  fastify.get('/', async (request) => request.params)
  fastify.delete('/', async (request) => request.params)
}
