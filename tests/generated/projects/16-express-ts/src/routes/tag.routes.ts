import { Router } from 'express';
import { bookmarkService } from '../services/bookmark.service';

const router = Router();

router.get('/', (_req, res) => {
  res.json(bookmarkService.tags());
});

export default router;
