import { OpenAPIHono } from '@hono/zod-openapi'
import * as routes from './users.routes.js'

const router = new OpenAPIHono()
  .openapi(routes.list, (c) => c.json([]) as never)
  .openapi(routes.create, (c) => c.json({}) as never)
  .openapi(routes.one, (c) => c.json({}) as never)

export default router
