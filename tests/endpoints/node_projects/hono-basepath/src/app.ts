import { Hono } from 'hono'
import { createAuth } from './auth'

type Bindings = { DB: unknown }

const app = new Hono<{ Bindings: Bindings }>().basePath('/api')

const v1 = new Hono()
v1.get('/', (c) => c.json({ v: 1 }))
v1.route('/auth', createAuth({ register: true }))

const v2 = app.basePath('/v2')
v2.get('/status', (c) => c.json({ v: 2 }))
v2.get('/items/:id', (c) => c.json({})).put((c) => c.json({})).delete((c) => c.json({}))

const routes = app.route('/v1', v1).get('/version', (c) => c.text('1.2.3'))

export type AppType = typeof routes
export default app
