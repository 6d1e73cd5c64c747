const Router = require('@koa/router')

const forums = new Router({ prefix: '/forums' })
const posts = new Router()

posts.get('/', (ctx) => { ctx.body = [] })
posts.get('/:pid', (ctx) => { ctx.body = ctx.params })
forums.get('/', (ctx) => { ctx.body = [] })
forums.use('/:fid/posts', posts.routes(), posts.allowedMethods())

module.exports = forums
