exports.songs = {
  list (req, res) {
    res.json([])
  },
  create: async (req, res) => {
    const { title } = req.body
    res.json({ title })
  }
}
exports.albums = require('./albums')
