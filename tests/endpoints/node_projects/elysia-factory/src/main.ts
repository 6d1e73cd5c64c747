import { createServer } from './server'

const server = createServer(['cats', 'dogs'])

export default server
