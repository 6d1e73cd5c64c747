const { Hono } = require('hono')
const resources = require('./resources')

const app = new Hono({ strict: false })
const api = new Hono()

for (const [name, handlers] of Object.entries(resources)) {
  const router = new Hono()
  router.get('/', handlers.list)
  if (handlers.create) router.post('/', handlers.create)
  router.get('/:id', handlers.get)
  api.route(`/${name}`, router)
}
app.route('/api', api)

const late = new Hono()
app.route('/late', late)
late.get('/not-served', (c) => c.text('registered too late'))

app.get('/files/*', (c) => c.text('file'))
module.exports = app
