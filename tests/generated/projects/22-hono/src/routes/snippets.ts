import { zValidator } from '@hono/zod-validator'
import { Hono } from 'hono'
import { z } from 'zod'

type Snippet = { id: string; language: string; code: string }

const store = new Map<string, Snippet>()
const schema = z.object({ language: z.string(), code: z.string().min(1) })

const app = new Hono()

app.get('/', (c) => c.json([...store.values()]))

app.post('/', zValidator('json', schema), (c) => {
  const snippet = { id: crypto.randomUUID(), ...c.req.valid('json') }
  store.set(snippet.id, snippet)
  return c.json(snippet, 201)
})

app.get('/:id', (c) => {
  const snippet = store.get(c.req.param('id'))
  return snippet ? c.json(snippet) : c.json({ error: 'Snippet not found' }, 404)
})

app.put('/:id', zValidator('json', schema), (c) => {
  const id = c.req.param('id')
  if (!store.has(id)) return c.json({ error: 'Snippet not found' }, 404)
  const snippet = { id, ...c.req.valid('json') }
  store.set(id, snippet)
  return c.json(snippet)
})

app.delete('/:id', (c) => {
  store.delete(c.req.param('id'))
  return c.body(null, 204)
})

export default app
