const { fastify } = require('fastify')
const { BookController } = require('./controllers/BookController')
const { AuthorController } = require('./controllers/AuthorController')

class Server {
  constructor ({ prefix }) {
    this.prefix = prefix
    this.app = fastify({ logger: false })
    this.controllers = [new BookController(), new AuthorController()]
    this.registerRoutes()
  }

  registerRoutes () {
    this.app.get('/', this.index.bind(this))
    this.app.register((instance, _, done) => {
      for (const controller of this.controllers) {
        instance.register(controller.routes.bind(controller), { prefix: controller.path })
      }
      done()
    }, { prefix: this.prefix })
  }

  async index () {
    return { name: 'library' }
  }

  async start (port) {
    await this.app.ready()
    await this.app.listen({ port, host: '0.0.0.0' })
  }
}

module.exports = { Server }
