const { createContainer } = require('./container')

const { app, config } = createContainer(process.env)

app.listen(config.port, () => console.log('listening'))
