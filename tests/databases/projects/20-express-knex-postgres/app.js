require('dotenv').config();
const express = require('express');
const db = require('./db/knex');

const app = express();
app.use(express.json());

app.get('/health', async (req, res) => {
  const { rows } = await db.raw('SELECT version()');
  res.json(rows[0]);
});
app.use('/bikes', require('./routes/bikes'));

app.use((err, req, res, next) => {
  console.error(err);
  res.status(500).json({ error: err.message });
});

const PORT = process.env.PORT || 3000;
app.listen(PORT, () => console.log(`Bike rental on ${PORT}`));
