const express = require('express')

const main = express()
const v1 = express()
const v2 = express()

const endpoints = [
  ['get', '/ping', (req, res) => res.send('pong')],
  ['post', '/echo', express.json(), (req, res) => res.json(req.body)],
  ['put', '/echo/:key', (req, res) => res.json(req.params)]
]

for (const [method, path, ...handlers] of endpoints) {
  v1[method](path, ...handlers)
}
v2.get(['/ping', '/pong'], (req, res) => res.send('pong'))
v2.get('/files/*path', (req, res) => res.send(req.params.path.join('/')))
v2.get('/maybe{/:name}', (req, res) => res.send(req.params.name))

main.use('/v1', v1)
main.use(['/v2', '/latest'], v2)
main.get('/flights/:from-:to', (req, res) => res.json(req.params))

if (require.main === module) {
  main.listen(process.env.PORT || 3000)
}
module.exports = main
