const { BaseController } = require('./BaseController')

class BookController extends BaseController {
  constructor () {
    super('/books')
  }

  more (app) {
    app.post('/', { handler: async (request) => request.body })
    app.options('/:id', async () => ({}))
  }
}

module.exports = { BookController }
