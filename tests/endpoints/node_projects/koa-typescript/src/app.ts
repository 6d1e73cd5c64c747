import Koa from 'koa'
import Router from '@koa/router'
import { booksRouter } from './books.js'
import * as authors from './authors.js'

export const createApp = (): Koa => {
  const app = new Koa()
  const root = new Router<Koa.DefaultState, Koa.DefaultContext>()

  root.get('/healthz', (ctx) => {
    ctx.body = { ok: true }
  })

  const routers: Router[] = [root, booksRouter('/books'), authors.router]
  for (const router of routers) {
    app.use(router.routes())
    app.use(router.allowedMethods())
  }
  return app
}
