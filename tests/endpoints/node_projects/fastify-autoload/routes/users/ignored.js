export default async function (fastify) {
  fastify.get('/never', async () => [])
}
