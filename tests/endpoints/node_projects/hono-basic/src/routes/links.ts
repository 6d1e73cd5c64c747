import { zValidator } from '@hono/zod-validator'
import { Hono } from 'hono'
import { z } from 'zod'

const links = new Hono()

const schema = z.object({ url: z.string().url(), clicks: z.number().int().optional() })

links.get('/', (c) => c.json([]))
links.post('/', zValidator('json', schema), (c) => c.json(c.req.valid('json'), 201))
links.get('/:id{[0-9]+}', (c) => c.json({ id: c.req.param('id') }))
links.delete('/:id{[0-9]+}', (c) => c.body(null, 204))
links.get('/:slug/history/:version?', (c) => c.json({}))

export default links
