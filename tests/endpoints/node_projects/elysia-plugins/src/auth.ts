import { Elysia } from 'elysia'

export const auth = new Elysia({ name: 'auth', prefix: '/auth' })
  .derive(() => ({ user: null }))
  .post('/login', ({ body }) => {
    const { email, password } = body as { email: string; password: string }
    return { email, ok: password.length > 0 }
  })
  .post('/logout', () => 'bye')
