import { createRoute, z } from '@hono/zod-openapi'

const User = z.object({ name: z.string(), age: z.number() })
const tags = ['Users']

export const list = createRoute({
  tags,
  method: 'get',
  path: '/',
  request: { query: z.object({ limit: z.string().optional() }) },
  responses: { 200: { description: 'users' } },
})

export const create = createRoute({
  tags,
  method: 'post',
  path: '/',
  request: { body: { content: { 'application/json': { schema: User } } } },
  responses: { 201: { description: 'created' } },
})

export const one = createRoute({
  tags,
  method: 'patch',
  path: '/{id}/names/{name}',
  request: { params: z.object({ id: z.string(), name: z.string() }) },
  responses: { 200: { description: 'user' } },
})
