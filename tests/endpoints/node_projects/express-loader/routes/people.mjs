import { Router } from 'express'

export const prefix = '/api/people'

const router = Router()
router.post('/', (req, res) => res.json(req.body.name))

export default router
