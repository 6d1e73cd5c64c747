import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { logger } from 'hono/logger'
import links from './routes/links.js'
import { stats } from './routes/stats.js'
import { tags } from './routes/tags.js'

const app = new Hono()

app.use('*', logger())
app.use('/api/*', cors())

app.get('/', (c) => c.text('Hello Hono!'))
app.get('/search', (c) => {
  const term = c.req.query('term')
  const page = Number(c.req.query('page'))
  return c.json({ term, page })
})
app.route('/api/links', links)
app.route('/api', stats)
app.route('/api/tags', tags)
app.on(['PUT', 'PATCH'], ['/profile', '/account'], (c) => c.json({}))
app.all('/any/*', (c) => c.text(c.req.method))

app.notFound((c) => c.json({ message: 'Not Found' }, 404))
app.onError((err, c) => c.json({ message: err.message }, 500))

serve({ fetch: app.fetch, port: Number(process.env.PORT) || 3000 })

export default app
