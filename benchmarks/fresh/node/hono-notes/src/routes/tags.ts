import { Hono } from 'hono'

const tags = new Hono({ strict: false })
tags.get('/:tag?', (c) => c.json([]))
tags.all('/all/*', (c) => c.json([]))
const admin = new Hono().basePath('/v2')
const section = (name: string) => new Hono().get(`/${name}`, (c) => c.text(name))
admin.route('/sections', section('users'))
admin.delete('/tags/:tag', (c) => c.body(null))
export { admin }
export default tags
