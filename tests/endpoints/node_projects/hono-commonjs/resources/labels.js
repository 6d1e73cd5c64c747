module.exports = {
  list: (c) => c.json([]),
  get: (c) => c.json({})
}
