const fs = require('fs')
const path = require('path')
const Koa = require('koa')
const mount = require('koa-mount')
const compose = require('koa-compose')
const Router = require('koa-router')

const app = new Koa()
const folder = path.join(__dirname, 'routes')

fs.readdirSync(folder)
  .filter((file) => file.endsWith('.js'))
  .forEach((file) => {
    const router = require(path.join(folder, file))
    app.use(router.routes())
    app.use(router.allowedMethods())
  })

const admin = new Koa()
const adminRouter = new Router()
adminRouter.get('/', (ctx) => { ctx.body = 'admin' })
adminRouter.post('/users/:id/ban', (ctx) => { ctx.body = 'done' })
admin.use(adminRouter.routes())
app.use(mount('/admin', admin))

const first = new Router().get('/first', (ctx) => { ctx.body = 1 })
const second = new Router().get('/second', (ctx) => { ctx.body = 2 })
app.use(compose([first.routes(), second.routes()]))

app.listen(process.env.PORT || 3000)
