import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { logger } from 'hono/logger'
import snippets from './routes/snippets.js'

const app = new Hono().basePath('/api')

app.use('*', logger())
app.use('*', cors())

app.get('/', (c) => c.json({ message: 'Hello Hono!' }))
app.route('/snippets', snippets)

app.notFound((c) => c.json({ error: 'Not Found' }, 404))

serve({ fetch: app.fetch, port: Number(process.env.PORT) || 3000 }, (info) => {
  console.log(`Server is running on http://localhost:${info.port}`)
})
