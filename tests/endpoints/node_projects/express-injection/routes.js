const { Router } = require('express')

const wrap = (handler) => (req, res, next) => Promise.resolve(handler(req, res)).catch(next)

module.exports = ({ users }) => {
  const router = Router()
  const admin = Router()
  admin.get('/stats', wrap(users.stats))
  admin.delete('/users/:id', wrap(users.remove))
  router.get('/users', wrap(users.list))
  router.post('/users', wrap(users.create))
  router.use('/admin', (req, res, next) => next(), admin)
  return router
}
