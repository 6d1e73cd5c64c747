import { Elysia } from 'elysia'
import { crud } from './crud'

const VERSION = 2

export function createServer(resources: string[]) {
  const server = new Elysia()
  for (const name of resources) {
    server.use(crud(name, { writable: name !== 'dogs' }))
  }
  server.use(import('./late'))
  server.get(`/v${VERSION}/version`, () => VERSION)
  return server
}
