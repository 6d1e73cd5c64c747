import { Elysia, t } from 'elysia'
import { node } from '@elysiajs/node'
import { lanes } from './lanes'

const guests = (app: Elysia) => app.get('/guests', () => [])

const app = new Elysia({ adapter: node() })
  .get('/', () => 'pool')
  .use(lanes)
  .group('/v1', (group) => group.use(guests as any).post('/swim', () => ({}), { body: t.Object({}) }))
  .guard({ headers: t.Object({}) }, (inner) => inner.get('/guarded/:id', () => ''))
  .route('REPORT', '/report', () => '')
  .all('/any/*', () => '')
  .ws('/live', { message() {} })

app.listen(3000)
export default app
