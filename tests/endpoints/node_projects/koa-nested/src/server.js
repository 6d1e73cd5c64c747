const http = require('node:http')
const Koa = require('koa')
const api = require('./routes')

const app = new Koa()
app.use(api.routes())
app.use(api.allowedMethods())

http.createServer(app.callback()).listen(process.env.PORT || 4000)
