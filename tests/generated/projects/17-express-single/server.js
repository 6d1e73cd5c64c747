const express = require("express");
const cors = require("cors");
const app = express();
const PORT = 3000;

app.use(cors());
app.use(express.json());

let items = [
  { id: 1, name: "Milk", bought: false },
  { id: 2, name: "Bread", bought: true },
];
let nextId = 3;

// Get all items
app.get("/items", (req, res) => {
  res.json(items);
});

// Get one item
app.get("/items/:id", (req, res) => {
  const item = items.find((i) => i.id === parseInt(req.params.id));
  if (!item) return res.status(404).json({ error: "Item not found" });
  res.json(item);
});

// Add an item
app.post("/items", (req, res) => {
  const item = { id: nextId++, name: req.body.name, bought: false };
  items.push(item);
  res.status(201).json(item);
});

// Update an item
app.put("/items/:id", (req, res) => {
  const item = items.find((i) => i.id === parseInt(req.params.id));
  if (!item) return res.status(404).json({ error: "Item not found" });
  item.name = req.body.name ?? item.name;
  item.bought = req.body.bought ?? item.bought;
  res.json(item);
});

// Delete an item
app.delete("/items/:id", (req, res) => {
  items = items.filter((i) => i.id !== parseInt(req.params.id));
  res.status(204).end();
});

app.listen(PORT, () => {
  console.log(`Server running at http://localhost:${PORT}`);
});
