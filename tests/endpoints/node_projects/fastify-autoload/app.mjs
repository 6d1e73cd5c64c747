import path from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import AutoLoad from '@fastify/autoload'

const __dirname = path.dirname(fileURLToPath(import.meta.url))

const app = Fastify()

app.register(AutoLoad, { dir: path.join(__dirname, 'plugins') })
app.register(AutoLoad, {
  dir: path.join(__dirname, 'routes'),
  routeParams: true,
  ignorePattern: /.*\.helper\.js/,
  options: { prefix: '/api' }
})

app.listen({ port: Number(process.env.PORT ?? 3000) })
