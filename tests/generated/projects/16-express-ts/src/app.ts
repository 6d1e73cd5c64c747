import express, { Application, NextFunction, Request, Response } from 'express';
import cors from 'cors';
import { ZodError } from 'zod';
import { config } from './config';
import bookmarkRouter from './routes/bookmark.routes';
import tagRouter from './routes/tag.routes';

const app: Application = express();

app.use(cors());
app.use(express.json());

app.get('/health', (_req: Request, res: Response) => {
  res.json({ status: 'ok' });
});

app.use(`${config.apiPrefix}/bookmarks`, bookmarkRouter);
app.use(`${config.apiPrefix}/tags`, tagRouter);

app.use((err: unknown, _req: Request, res: Response, _next: NextFunction) => {
  if (err instanceof ZodError) {
    res.status(400).json({ error: 'Validation failed', issues: err.issues });
    return;
  }
  res.status(500).json({ error: 'Internal server error' });
});

export default app;
