import Router from '@koa/router'

enum Paths {
  List = '/authors',
  One = '/authors/:authorId',
}

export const router = new Router()

router.get(Paths.List, (ctx) => { ctx.body = [] })
router.get(Paths.One, (ctx) => { ctx.body = {} })
router.delete(Paths.One, (ctx) => { ctx.status = 204 })
