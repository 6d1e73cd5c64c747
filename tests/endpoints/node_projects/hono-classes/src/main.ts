import { serve } from '@hono/node-server'
import { createFactory } from 'hono/factory'
import { NoteController } from './note.controller.js'
import { TagController } from './tag.controller.js'
import type { Controller } from './controller.js'

const factory = createFactory()
const app = factory.createApp()

const controllers: Controller[] = [new NoteController(), new TagController()]
controllers.forEach((controller) => {
  app.route(controller.path, controller.router)
})

app.get('/ping', ...factory.createHandlers((c) => c.text('pong')))

const server = serve({ fetch: app.fetch, port: 8787 })
process.on('SIGINT', () => server.close())

export default app
