import { Hono } from 'hono'

export abstract class Controller {
  readonly router = new Hono()

  constructor(readonly path: string) {
    this.routes()
  }

  protected abstract routes(): void
}
