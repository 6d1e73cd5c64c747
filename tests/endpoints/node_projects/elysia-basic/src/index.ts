import { Elysia, t } from 'elysia'
import { node } from '@elysiajs/node'

const todo = t.Object({ title: t.String(), done: t.Boolean() })

const app = new Elysia({ adapter: node() })
  .get('/', () => 'Hello Elysia')
  .get('/todos', ({ query }) => query.page, { query: t.Object({ page: t.Optional(t.Integer()) }) })
  .post('/todos', ({ body }) => body, { body: todo })
  .get('/todos/:id', ({ params: { id } }) => id)
  .put('/todos/:id', ({ body }) => body, { body: todo })
  .delete('/todos/:id', ({ set }) => {
    set.status = 204
  })
  .all('/any/*', ({ request }) => request.method)
  .listen(Number(process.env.PORT ?? 3000))

export default app
