import { Router, type Request, type Response } from 'express'
import type { Controller } from '../controller.js'

export class PostsController implements Controller {
  public path = '/posts'
  public router = Router()

  constructor() {
    this.router.get(this.path, this.all)
    this.router.route(`${this.path}/:id`).get(this.all).patch(this.all).delete(this.all)
    this.router.post(this.path, this.create)
  }

  private all = (_req: Request, res: Response) => {
    res.json([])
  }

  private create = (req: Request, res: Response) => {
    const { title, content } = req.body
    res.status(201).json({ title, content })
  }
}
