const { Server } = require('./Server')

const server = new Server({ prefix: '/v2' })
server.start(process.env.PORT || 3000)
