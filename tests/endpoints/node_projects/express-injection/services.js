class UserService {
  list = async (req, res) => res.json({ sort: req.query.sort })
  create = async (req, res) => res.json({ email: req.body.email })
  remove = async (req, res) => res.sendStatus(204)
  stats = async (req, res) => res.json({})
}

module.exports = { UserService }
