import type { Context } from 'hono'
import { Controller } from './controller.js'

export class TagController extends Controller {
  constructor() {
    super('/tags')
  }

  protected routes(): void {
    const all = (c: Context) => c.json([])
    this.router.get('/:tag', all).options('/:tag', all)
  }
}
