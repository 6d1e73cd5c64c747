import { sql } from 'drizzle-orm';
import express from 'express';
import { db } from './db/index.js';
import { eventsRouter } from './routes/events.js';

const app = express();
const port = Number(process.env.PORT) || 3000;

app.use(express.json());
app.use('/api/events', eventsRouter);

app.get('/api/health', async (_req, res) => {
  const { rows } = await db.execute(sql`SELECT version()`);
  res.json(rows[0]);
});

app.listen(port, () => {
  console.log(`Server running at http://localhost:${port}`);
});
