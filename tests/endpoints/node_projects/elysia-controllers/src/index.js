import Elysia from 'elysia'
import controllers from './controllers/index.js'
import { swaggerTags } from './tags.js'

const app = new Elysia({ tags: swaggerTags })

controllers.forEach((controller) => app.use(controller))
app.use([new Elysia().get('/one', 1), new Elysia().get('/two', '2')])

export default app
