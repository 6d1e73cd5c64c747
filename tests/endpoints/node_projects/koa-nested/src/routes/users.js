const Router = require('@koa/router')
const auth = require('../auth')

const router = new Router()
router.use(auth)
router.get('/', list)
router.get('/:id', list)
router.post('/', auth, list)

function list (ctx) {
  ctx.body = []
}

module.exports = router
