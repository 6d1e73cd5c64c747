const Router = require('@koa/router')
const forums = require('./forums')
const users = require('./users')

const router = new Router({ prefix: '/api/v1' })

router.get('/', (ctx) => { ctx.body = { version: 1 } })
router.use('/users', users.routes(), users.allowedMethods())
router.use(forums.routes())

module.exports = router
