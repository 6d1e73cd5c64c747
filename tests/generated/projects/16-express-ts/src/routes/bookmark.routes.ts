import { Router, Request, Response } from 'express';
import { z } from 'zod';
import { bookmarkService } from '../services/bookmark.service';

const router = Router();

const bookmarkSchema = z.object({
  url: z.string().url(),
  title: z.string().min(1),
  tags: z.array(z.string()).default([]),
});

router.get('/', (req: Request, res: Response) => {
  res.json(bookmarkService.all(req.query.tag as string | undefined));
});

router.post('/', (req: Request, res: Response) => {
  res.status(201).json(bookmarkService.create(bookmarkSchema.parse(req.body)));
});

router.get('/:id', (req: Request, res: Response) => {
  const bookmark = bookmarkService.find(Number(req.params.id));
  if (!bookmark) {
    res.status(404).json({ error: 'Bookmark not found' });
    return;
  }
  res.json(bookmark);
});

router.patch('/:id', (req: Request, res: Response) => {
  const bookmark = bookmarkService.update(Number(req.params.id), bookmarkSchema.partial().parse(req.body));
  if (!bookmark) {
    res.status(404).json({ error: 'Bookmark not found' });
    return;
  }
  res.json(bookmark);
});

router.delete('/:id', (req: Request, res: Response) => {
  res.sendStatus(bookmarkService.remove(Number(req.params.id)) ? 204 : 404);
});

export default router;
