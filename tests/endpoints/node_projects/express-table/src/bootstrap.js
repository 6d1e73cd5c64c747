const http = require('http')
const express = require('express')
const routes = require('./routes.json')
const controllers = require('./controllers')

function register (app) {
  Object.keys(routes).forEach((group) => {
    const router = express.Router()
    routes[group].forEach(({ verb, path, action }) => {
      router[verb.toLowerCase()](path, controllers[group][action])
    })
    app.use(`/${group}`, router)
  })
  return app
}

exports.start = async function start () {
  const app = register(express())
  const server = http.createServer(app)
  server.listen(process.env.PORT || 3000)
}
