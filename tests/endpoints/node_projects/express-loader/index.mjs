import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import express from 'express'

const app = express()
const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), 'routes')

for (const file of await readdir(folder)) {
  const { default: router, prefix } = await import(pathToFileURL(path.join(folder, file)).href)
  app.use(prefix ?? `/${path.parse(file).name}`, router)
}

app.get('/', (req, res) => res.send('ok'))
app.listen(process.env.PORT ?? 3000)
