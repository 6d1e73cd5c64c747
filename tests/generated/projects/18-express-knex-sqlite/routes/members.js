import { Router } from 'express';
import db from '../db.js';

const router = Router();

router.get('/', async (req, res) => {
  res.json(await db('members').select('id', 'name', 'plan', 'active').orderBy('id'));
});

router.get('/:id', async (req, res) => {
  const member = await db('members').where({ id: req.params.id }).first();
  if (!member) return res.status(404).json({ error: 'Member not found' });
  res.json(member);
});

router.post('/', async (req, res) => {
  const { name, plan = 'basic' } = req.body ?? {};
  if (!name) return res.status(400).json({ error: 'name is required' });
  const [id] = await db('members').insert({ name, plan });
  res.status(201).json(await db('members').where({ id }).first());
});

router.put('/:id', async (req, res) => {
  const count = await db('members').where({ id: req.params.id }).update(req.body);
  if (!count) return res.status(404).json({ error: 'Member not found' });
  res.json(await db('members').where({ id: req.params.id }).first());
});

router.delete('/:id', async (req, res) => {
  await db('members').where({ id: req.params.id }).del();
  res.sendStatus(204);
});

export default router;
