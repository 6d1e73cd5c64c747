const Router = require('@koa/router')
const router = new Router({ prefix: '/cars' })
const load = async (ctx, next) => next()

router.param('id', load)
router
  .get('/', async (ctx) => {})
  .post('/', load, async (ctx) => {})
router.get(['/:id', '/by-id/:id'], async (ctx) => {})
router.put('/:id', async (ctx) => {})
module.exports = router
