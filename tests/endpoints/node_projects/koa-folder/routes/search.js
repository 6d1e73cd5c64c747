const Router = require('koa-router')

const router = new Router()

router.get('/search', (ctx) => {
  const { q, limit = 10 } = ctx.query
  ctx.body = { q, limit }
})

module.exports = router
