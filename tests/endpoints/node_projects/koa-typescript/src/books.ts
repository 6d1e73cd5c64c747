import Router from '@koa/router'
import type { Context } from 'koa'

class BookController {
  public async index(ctx: Context): Promise<void> {
    ctx.body = []
  }

  public async show(ctx: Context): Promise<void> {
    ctx.body = {}
  }
}

export function booksRouter(prefix: string): Router {
  const controller = new BookController()
  const router = new Router({ prefix })
  router.get('/', controller.index)
  router.get('/:isbn', controller.show)
  router.post('/', controller.index)
  return router
}
