import { asc, count, eq } from 'drizzle-orm';
import { Router } from 'express';
import { db } from '../db/index.js';
import { events, guests } from '../db/schema.js';

export const eventsRouter = Router();

eventsRouter.get('/', async (_req, res) => {
  res.json(await db.select().from(events).orderBy(asc(events.startsAt)));
});

eventsRouter.post('/', async (req, res) => {
  const { name, startsAt, capacity } = req.body ?? {};
  if (!name || !startsAt) {
    res.status(400).json({ error: 'name and startsAt are required' });
    return;
  }
  const [event] = await db.insert(events).values({ name, startsAt: new Date(startsAt), capacity }).returning();
  res.status(201).json(event);
});

eventsRouter.get('/:id', async (req, res) => {
  const id = Number(req.params.id);
  const [event] = await db.select().from(events).where(eq(events.id, id));
  if (!event) {
    res.status(404).json({ error: 'Event not found' });
    return;
  }
  const [{ total }] = await db.select({ total: count() }).from(guests).where(eq(guests.eventId, id));
  res.json({ ...event, guests: total });
});

eventsRouter.put('/:id', async (req, res) => {
  const { name, capacity } = req.body;
  const [event] = await db
    .update(events)
    .set({ name, capacity })
    .where(eq(events.id, Number(req.params.id)))
    .returning();
  if (!event) {
    res.status(404).json({ error: 'Event not found' });
    return;
  }
  res.json(event);
});

eventsRouter.post('/:id/guests', async (req, res) => {
  const [guest] = await db
    .insert(guests)
    .values({ eventId: Number(req.params.id), email: req.body.email })
    .onConflictDoNothing()
    .returning();
  if (!guest) {
    res.status(409).json({ error: 'Already invited' });
    return;
  }
  res.status(201).json(guest);
});

eventsRouter.delete('/:id', async (req, res) => {
  await db.delete(events).where(eq(events.id, Number(req.params.id)));
  res.sendStatus(204);
});
