export const prefixOverride = '/elsewhere'

export default async function (fastify) {
  fastify.get('/plain', async () => ({}))
}
