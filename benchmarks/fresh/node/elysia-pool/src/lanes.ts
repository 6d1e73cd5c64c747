import { Elysia } from 'elysia'

export const lanes = new Elysia({ prefix: '/lanes', name: 'lanes' })
  .derive(() => ({ time: 1 }))
  .get('/', () => [])
  .put('/:lane?', () => ({}))
  .group('/:lane/bookings', (app) => app.get('/', () => []).delete('/:booking', () => ({})))
