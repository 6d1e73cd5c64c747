const build = require('./build')

build().then((app) => app.listen({ port: process.env.PORT || 3000 }))
