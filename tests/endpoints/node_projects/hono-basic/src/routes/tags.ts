import { Hono } from 'hono'
import { cache } from 'hono/cache'
import { logger } from 'hono/logger'

// A registration without a path has that of the one before it; without any, middleware is for all paths.
export const tags = new Hono()
  .get('/', (c) => c.json([]))
  .post((c) => c.json({}, 201))
  .on(['PUT'], '/:tag', (c) => c.json({}))
  .delete((c) => c.json({}))
tags.use('/popular', cache({ cacheName: 'tags' })).get((c) => c.json([]))
tags.use(logger()).patch((c) => c.json({}))
