import { Router } from 'express'

const router = Router()

router.get('/', (req, res) => res.json([]))
router.get('/:isbn', (req, res) => res.json({ lang: req.query.lang }))

export default router
