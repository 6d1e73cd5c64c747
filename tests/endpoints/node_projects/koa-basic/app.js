const Koa = require('koa')
const Router = require('@koa/router')
const { koaBody } = require('koa-body')

const app = new Koa()
const router = new Router()

router.get('/', async (ctx) => {
  ctx.body = 'home'
})
router.get('user', '/users/:id', (ctx) => {
  ctx.body = { id: ctx.params.id, verbose: ctx.query.verbose }
})
router.post('/users', koaBody(), async (ctx) => {
  const { name, email } = ctx.request.body
  ctx.status = 201
  ctx.body = { name, email }
})
router.put('/users/:id', update).patch('/users/:id', update).del('/users/:id', (ctx) => { ctx.status = 204 })
router.all('/echo', (ctx) => { ctx.body = ctx.method })
router.get(['/about', '/imprint'], (ctx) => { ctx.body = 'about' })

async function update (ctx) {
  ctx.body = ctx.request.body
}

app.use(async (ctx, next) => {
  const start = Date.now()
  await next()
  ctx.set('X-Response-Time', `${Date.now() - start}ms`)
})
app.use(router.routes()).use(router.allowedMethods())

app.listen(process.env.PORT || 3000)
