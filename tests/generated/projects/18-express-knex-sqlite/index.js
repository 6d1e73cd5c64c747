import express from 'express';
import members from './routes/members.js';

const app = express();
const port = process.env.PORT || 3000;

app.use(express.json());
app.get('/', (req, res) => res.json({ name: 'Gym Members API' }));
app.use('/api/members', members);

app.listen(port, () => console.log(`Listening on ${port}`));
