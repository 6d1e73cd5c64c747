import { Elysia } from 'elysia'

export const crud = (name: string, { writable = true } = {}) => {
  const routes = new Elysia({ prefix: `/${name}` }).get('/', () => []).get('/:id', () => ({}))
  if (writable) {
    routes.post('/', ({ body }) => body)
  }
  return routes
}
