const express = require('express');
const orders = require('./orders');

const app = express();
app.use(express.json());
app.get('/health', (req, res) => res.json({ ok: true }));
app.use('/api/orders', orders);

app.listen(process.env.PORT || 3000, () => console.log('orders are served'));
