const express = require('express');
const cors = require('cors');
const helmet = require('helmet');
const morgan = require('morgan');
const petRoutes = require('./routes/petRoutes');
const errorHandler = require('./middleware/errorHandler');

const app = express();

app.use(helmet());
app.use(cors());
app.use(morgan('dev'));
app.use(express.json());

app.get('/health', (req, res) => res.json({ status: 'OK', uptime: process.uptime() }));
app.use('/api/pets', petRoutes);

app.use((req, res) => {
  res.status(404).json({ message: 'Route not found' });
});
app.use(errorHandler);

module.exports = app;
