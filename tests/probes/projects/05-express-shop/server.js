const express = require('express');

const app = express();
app.use(express.json());

let nextId = 3;
const items = [
  { id: 1, name: 'Lamp', price: 25, tags: ['light'] },
  { id: 2, name: 'Desk', price: 140, tags: ['wood'] },
];

app.get('/items', (req, res) => {
  res.json(items);
});

app.post('/items', (req, res) => {
  const { name, price, tags } = req.body;
  if (!name) {
    return res.status(400).json({ error: 'name is required' });
  }
  const item = { id: nextId++, name, price, tags };
  items.push(item);
  res.status(201).json(item);
});

app.get('/items/:id', (req, res) => {
  const item = items.find((one) => one.id === Number(req.params.id));
  if (!item) {
    return res.status(404).json({ error: 'not found' });
  }
  res.json(item);
});

app.get('/items/:id/label', (req, res) => {
  const item = items.find((one) => one.id === Number(req.params.id));
  res.json({ label: `${item.name.toUpperCase()} (${item.tags.join(', ')})` });
});

app.delete('/items/:id', (req, res) => {
  const index = items.findIndex((one) => one.id === Number(req.params.id));
  if (index < 0) {
    return res.status(404).json({ error: 'not found' });
  }
  items.splice(index, 1);
  res.status(204).end();
});

const port = process.env.PORT || 3000;
app.listen(port, () => console.log(`listening on ${port}`));
