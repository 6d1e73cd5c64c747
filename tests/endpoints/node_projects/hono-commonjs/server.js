const { serve } = require('@hono/node-server')
const app = require('./app')

serve({ fetch: app.fetch, port: process.env.PORT || 3000 }, (info) => {
  console.log(`Listening on http://localhost:${info.port}`)
})

exports.default = app
