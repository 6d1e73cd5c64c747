const tasks = []

exports.list = (c) => c.json(tasks)
exports.get = (c) => c.json(tasks[0])
exports.create = async (c) => {
  const { title, done = false } = await c.req.json()
  tasks.push({ title, done })
  return c.json({ title }, 201)
}
