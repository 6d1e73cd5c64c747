import Koa from 'koa'
import Router from '@koa/router'
import { routes } from './routes.mjs'

class Application {
  #koa = new Koa()

  constructor (prefix) {
    this.router = new Router({ prefix })
    this.koa = new Koa()
    this.mount()
  }

  mount () {
    for (const { method, path, handler, children = [] } of routes) {
      this.router[method](path, handler)
      const nested = new Router()
      children.forEach((child) => nested[child.method](child.path, child.handler))
      if (children.length > 0) {
        this.router.use(path, nested.routes())
      }
    }
    this.router.redirect('/old', '/new')
    this.koa.use(this.router.routes())
  }

  listen (port) {
    return this.koa.listen(port)
  }
}

new Application('/shop').listen(process.env.PORT || 3000)
