const Fastify = require('fastify')
const config = require('./config.json')

const crud = (name, { only = ['list', 'get', 'create', 'update', 'remove'] } = {}) => async (app) => {
  const actions = {
    list: () => app.get('/', async () => []),
    get: () => app.get('/:id', async () => ({})),
    create: () => app.post('/', async (request) => ({ name, ...request.body })),
    update: () => app.patch('/:id', async () => ({})),
    remove: () => app.delete('/:id', async () => null)
  }
  only.forEach((action) => actions[action]())
}

module.exports = async function build (options = {}) {
  const app = Fastify(options)
  app.register(require('./auth'))
  app.after(() => {
    app.get('/me', { preHandler: app.authenticate }, async (request) => request.user)
  })
  for (const [name, settings] of Object.entries(config.resources)) {
    app.register(crud(name, settings), { prefix: `/${name}` })
  }
  app.register(import('./late.mjs'), { prefix: '/late' })
  return app
}
