import { Hono, type MiddlewareHandler } from 'hono'

const requireUser: MiddlewareHandler = async (c, next) => {
  await next()
}

export const createAuth = (options: { register?: boolean }) => {
  const auth = new Hono()
  auth.post('/login', (c) => c.json({ token: 'x' }))
  if (options.register) {
    auth.post('/register', (c) => c.json({}, 201))
  }
  auth.get('/me', requireUser, (c) => c.json({}))
  return auth
}
