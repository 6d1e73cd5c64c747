import { Hono } from 'hono'

export const stats = new Hono()
  .get('/stats', (c) => c.json({ total: 0 }))
  .post('/stats/reset', async (c) => {
    const { confirm } = await c.req.json()
    return c.json({ confirm })
  })
