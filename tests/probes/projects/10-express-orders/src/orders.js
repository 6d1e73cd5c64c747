const { Router } = require('express');

const router = Router();
const orders = new Map();
let counter = 0;

router.get('/', (req, res) => {
  const limit = parseInt(req.query.limit || '20', 10);
  res.json({ orders: [...orders.values()].slice(0, limit), total: orders.size });
});

router.post('/', (req, res) => {
  const { product, quantity } = req.body;
  if (typeof product !== 'string' || !product.trim()) {
    return res.status(400).json({ error: 'product is required' });
  }
  if (!Number.isInteger(quantity) || quantity < 1) {
    return res.status(400).json({ error: 'quantity must be a positive integer' });
  }
  counter += 1;
  const order = { id: counter, product: product.trim(), quantity, status: 'open' };
  orders.set(order.id, order);
  res.status(201).json(order);
});

router.get('/:orderId', (req, res) => {
  const order = orders.get(Number(req.params.orderId));
  if (!order) return res.status(404).json({ error: 'order not found' });
  res.json(order);
});

router.get('/:orderId/receipt', (req, res) => {
  const order = orders.get(Number(req.params.orderId));
  if (!order) return res.status(404).json({ error: 'order not found' });
  res.json({ lines: new Array(order.quantity).fill(order.product) });
});

router.patch('/:orderId', (req, res) => {
  const order = orders.get(Number(req.params.orderId));
  if (!order) return res.status(404).json({ error: 'order not found' });
  order.status = req.body.status.toLowerCase();
  res.json(order);
});

router.delete('/:orderId', (req, res) => {
  if (!orders.has(Number(req.params.orderId))) return res.status(404).json({ error: 'order not found' });
  res.status(204).end();
});

module.exports = router;
