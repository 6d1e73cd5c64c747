export default async function (fastify) {
  fastify.get('/recent', async () => [])
}
