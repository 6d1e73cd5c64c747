const { BaseController } = require('./BaseController')

exports.AuthorController = class AuthorController extends BaseController {
  constructor () {
    super('/authors')
  }
}
