import { serve } from '@hono/node-server'
import { OpenAPIHono, createRoute, z } from '@hono/zod-openapi'
import users from './users.js'

const app = new OpenAPIHono()

const health = createRoute({
  method: 'get',
  path: '/health',
  responses: { 200: { description: 'ok' } },
})

app.openapi(health, (c) => c.text('ok'))
app.route('/users', users)
app.doc('/openapi.json', { openapi: '3.0.0', info: { title: 'API', version: '1' } })
app.get('/raw', (c) => c.text(z.string().parse('raw')))

serve(app)

export default app
