const express = require('express');
const { sequelize } = require('./models');

const app = express();
const port = process.env.PORT || 4000;

app.use(express.json());

app.get('/health', async (req, res) => {
  const [rows] = await sequelize.query('SELECT version()');
  res.json(rows[0]);
});
app.use('/courses', require('./routes/courses'));

sequelize
  .authenticate()
  .then(() => {
    console.log('Database connected');
    app.listen(port, () => console.log(`Listening on port ${port}`));
  })
  .catch((error) => {
    console.error('Unable to connect to the database:', error);
    process.exit(1);
  });
