import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { notes } from './routes/notes'
import tags, { admin } from './routes/tags'

const app = new Hono<{ Variables: { user: string } }>()
app.use('*', cors())
app.get('/', (c) => c.text('notes'))
const api = app.basePath('/api')
const routes = api.route('/notes', notes).route('/tags', tags)
app.route('/admin', admin)
app.on(['PUT', 'DELETE'], ['/cache/:key', '/caches'], (c) => c.body(null, 204))
app.on('PURGE', '/purge', (c) => c.text(''))
app.notFound((c) => c.text('none', 404))

export type Api = typeof routes
serve({ fetch: app.fetch, port: 3000 })
export default app
