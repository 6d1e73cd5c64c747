import express from 'express';
import pool, { createTables } from './config/db.js';
import postRoutes from './routes/postRoutes.js';

const app = express();
app.use(express.json());

app.get('/', async (req, res) => {
  const [rows] = await pool.query('SELECT VERSION() AS version');
  res.json({ message: 'Blog API', version: rows[0].version });
});
app.use('/api/posts', postRoutes);

app.use((err, req, res, next) => {
  console.error(err);
  res.status(500).json({ message: err.message });
});

createTables().then(() => {
  app.listen(5000, () => console.log('Server started on port 5000'));
});
