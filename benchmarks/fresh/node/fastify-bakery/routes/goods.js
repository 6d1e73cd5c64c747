const crud = (app, name) => {
  app.get('/', async () => [])
  app.put(`/${name}/:id`, async () => ({}))
}
export async function breads (app) {
  crud(app, 'bread')
}
export const cakes = (app, _options, done) => {
  app.get('/:slug', async () => ({}))
  app.patch('/:slug', { config: { rateLimit: 5 } }, async () => ({}))
  done()
}
