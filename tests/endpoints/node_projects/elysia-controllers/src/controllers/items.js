import { Elysia } from 'elysia'

class Items {
  list = () => []

  static create({ body }) {
    return body
  }
}

const controller = new Items()

export const items = new Elysia({ prefix: 'items' })
  .get('/', controller.list, { detail: { summary: 'List items' } })
  .post('/', Items.create)
  .options('/:sku', () => '')
