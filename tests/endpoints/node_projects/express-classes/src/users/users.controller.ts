import { Router } from 'express'
import type { Controller } from '../controller.js'

export class UsersController implements Controller {
  public readonly router = Router()

  constructor(public readonly path: string) {
    const nested = Router({ mergeParams: true })
    nested.get('/', (_req, res) => {
      res.json([])
    })
    this.router.use(`${path}/:userId/posts`, nested)
    this.router.all(path, (_req, res) => {
      res.json([])
    })
  }
}
