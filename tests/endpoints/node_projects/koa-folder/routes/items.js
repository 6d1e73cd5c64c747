const Router = require('koa-router')

const router = new Router()
router.prefix('/items')
router.get('/', (ctx) => { ctx.body = [] })
router.get('/:id', (ctx) => { ctx.body = {} })

module.exports = router
