import { Elysia } from 'elysia'
import { UserService } from './users.service'

export const users = new Elysia({ prefix: '/users' })
  .decorate('service', new UserService())
  .get('/', ({ service }) => service.list())
  .get('/:id?', ({ params }) => params.id ?? 'none')
  .patch(':id', ({ params }) => params.id)
