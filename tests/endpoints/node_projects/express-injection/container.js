const express = require('express')
const createRoutes = require('./routes')
const { UserService } = require('./services')

exports.createContainer = (env) => {
  const config = { port: env.PORT || 3000, base: env.BASE_PATH || '/service' }
  const services = { users: new UserService() }
  const app = express()
  app.disable('x-powered-by')
  app.set('json spaces', 2)
  app.use(config.base, createRoutes(services))
  return { app, config }
}
