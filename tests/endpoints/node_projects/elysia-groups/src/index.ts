import { Elysia, t } from 'elysia'

const app = new Elysia({ prefix: '/shop' })

app.guard({ headers: t.Object({ authorization: t.String() }) }, (app) =>
  app
    .get('/orders', () => [])
    .group('/orders/:orderId', (order) =>
      order
        .get('', () => ({}))
        .post('/lines', () => ({}))
        .group('/lines/:line', { params: t.Object({ orderId: t.String(), line: t.String() }) }, (line) =>
          line.delete('/', () => ({})).put('/', () => ({})),
        ),
    ),
)

app.route('PROPFIND', '/dav', () => '')

export default app
