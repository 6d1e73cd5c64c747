const fp = require('fastify-plugin')

async function auth (fastify) {
  fastify.decorate('authenticate', async (request) => { request.user = 'x' })
  fastify.post('/login', async (request) => {
    const { username, password } = request.body
    return { username, ok: Boolean(password) }
  })
}

module.exports = fp(auth)
