class BaseController {
  constructor (path) {
    this.path = path
  }

  async routes (app) {
    app.get('/', async (request) => this.list(request))
    app.get('/:id', async (request) => this.find(request))
    this.more(app)
  }

  more () {}

  list () { return [] }

  find () { return null }
}

module.exports = { BaseController }
