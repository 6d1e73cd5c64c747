import { Hono } from 'hono'
import { createMiddleware } from 'hono/factory'

const owner = createMiddleware(async (_c, next) => { await next() })
export const notes = new Hono()
  .get('/', (c) => c.json([]))
  .post(owner, (c) => c.json({}, 201))
  .get('/:id{[0-9]+}', (c) => c.json({}))
  .patch('/:id{[0-9]+}', owner, async (c) => c.json({}))
  .get('/files/:name{.+\\.png}', (c) => c.text(''))
