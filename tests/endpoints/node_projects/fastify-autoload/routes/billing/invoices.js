export const autoPrefix = '/money'

export default async function (fastify) {
  fastify.get('/invoices/:number', async () => ({}))
}
