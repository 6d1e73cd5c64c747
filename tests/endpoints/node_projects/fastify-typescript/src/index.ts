import { buildServer } from './server.js'

const server = await buildServer({ logger: false })

server.listen({ port: Number(process.env.PORT) || 3000, host: '0.0.0.0' }, (err, address) => {
  if (err) throw err
  console.log(`listening on ${address}`)
})
