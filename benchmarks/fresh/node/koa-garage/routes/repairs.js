const Router = require('@koa/router')
module.exports = () => {
  const router = new Router()
  const table = { '/repairs': list, '/repairs/open': list }
  router.prefix('/shop')
  for (const [path, handler] of Object.entries(table)) router.get(path, handler)
  router.all('/anything', list)
  return router
}
async function list (ctx) { ctx.body = [] }
