const express = require('express');

const app = express();
app.use(express.json());

let nextId = 3;
const tasks = new Map([
  [1, { id: 1, title: 'Write', priority: 2, notes: '' }],
  [2, { id: 2, title: 'Read', priority: 5, notes: 'twice' }],
]);

function readTask(body) {
  const { title, priority = 1, notes = '' } = body || {};
  if (typeof title !== 'string' || !title.trim()) return { error: 'title is required' };
  if (!Number.isInteger(priority) || priority < 0) return { error: 'priority must be a positive integer' };
  if (typeof notes !== 'string') return { error: 'notes must be a string' };
  return { title: title.trim(), priority, notes };
}

app.get('/health', (req, res) => res.json({ status: 'ok' }));

app.get('/api/tasks', (req, res) => res.json([...tasks.values()]));

app.post('/api/tasks', (req, res) => {
  const task = readTask(req.body);
  if (task.error) return res.status(400).json(task);
  const { title, priority, notes } = req.body;
  const made = { id: nextId++, title: title.trim(), priority: Math.min(priority ?? 1, 9), notes: notes ?? '' };
  tasks.set(made.id, made);
  res.status(201).json(made);
});

app.get('/api/tasks/:id', (req, res) => {
  const task = tasks.get(Number(req.params.id));
  if (!task) return res.status(404).json({ error: 'no such task' });
  res.json(task);
});

app.patch('/api/tasks/:id', (req, res) => {
  const task = tasks.get(Number(req.params.id));
  if (!task) return res.status(404).json({ error: 'no such task' });
  const { title, priority, notes } = { ...task, ...req.body };
  const changed = readTask({ title, priority, notes });
  if (changed.error) return res.status(400).json(changed);
  const shown = { id: task.id, ...changed };
  tasks.set(task.id, { ...shown, notes: task.notes });
  res.json(shown);
});

app.delete('/api/tasks/:id', (req, res) => {
  if (!tasks.delete(Number(req.params.id))) return res.status(404).json({ error: 'no such task' });
  res.status(204).end();
});

app.use((err, req, res, next) => res.status(err.status || 500).json({ error: err.message }));

app.listen(process.env.PORT || 3000);
