import { Elysia } from 'elysia'
import { auth } from './auth'
import { users } from './users'
import { withHealth } from './health'

export const app = new Elysia()
  .use(withHealth)
  .use(auth)
  .group('/api/v1', (app) => app.use(users).get('/me', () => 'me'))
  .onError(({ code }) => code)

export default app
