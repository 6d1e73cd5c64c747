import { Elysia } from 'elysia'

export default () => {
  const reviews = new Elysia()
  reviews.group('/reviews', (app) => {
    app.get('/', () => [])
    app.post('/:sku', ({ body: { stars } }) => stars)
    return app
  })
  return reviews
}
