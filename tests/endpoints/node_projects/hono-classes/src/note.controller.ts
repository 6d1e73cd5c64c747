import type { Context } from 'hono'
import { Controller } from './controller.js'

export class NoteController extends Controller {
  constructor() {
    super('/notes')
  }

  protected routes(): void {
    this.router.get('/', this.list)
    this.router.post('/', this.create)
    this.router.on('PURGE', '/cache', this.list)
  }

  private list(c: Context) {
    return c.json([])
  }

  private create(c: Context) {
    return c.json({}, 201)
  }
}
