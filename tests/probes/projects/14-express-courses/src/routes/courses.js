const express = require('express');

const router = express.Router();

let nextId = 4;
const courses = [
  { id: 1, title: 'Linear Algebra', credits: 6, seats: 30, enrolled: ['ann', 'bob'] },
  { id: 2, title: 'Databases', credits: 5, seats: 25, enrolled: ['cleo'] },
  { id: 3, title: 'Compilers', credits: 8, seats: 12, enrolled: [] },
];

const findCourse = (id) => courses.find((course) => course.id === Number(id));

// GET /api/courses?page=1&limit=10
router.get('/', (req, res) => {
  const page = Math.max(parseInt(req.query.page, 10) || 1, 1);
  const limit = Math.min(Math.max(parseInt(req.query.limit, 10) || 10, 1), 100);
  const start = (page - 1) * limit;
  res.json({ page, limit, total: courses.length, items: courses.slice(start, start + limit) });
});

// POST /api/courses
router.post('/', (req, res) => {
  const { title, credits, seats } = req.body;
  if (!title || typeof title !== 'string') {
    return res.status(400).json({ error: 'title is required' });
  }
  if (!Number.isInteger(credits) || credits < 1 || !Number.isInteger(seats) || seats < 1) {
    return res.status(400).json({ error: 'credits and seats must be positive integers' });
  }
  const course = { id: nextId++, title: title.trim(), credits: Math.min(credits, 10), seats, enrolled: [] };
  courses.push(course);
  res.status(201).json(course);
});

// GET /api/courses/:id
router.get('/:id', (req, res) => {
  const course = findCourse(req.params.id);
  if (!course) {
    return res.status(404).json({ error: 'Course not found' });
  }
  res.json(course);
});

// POST /api/courses/:id/enroll
router.post('/:id/enroll', (req, res) => {
  const course = findCourse(req.params.id);
  if (!course) {
    return res.status(404).json({ error: 'Course not found' });
  }
  const student = req.body.student.toLowerCase();
  if (course.enrolled.includes(student)) {
    return res.status(409).json({ error: 'Student is already enrolled' });
  }
  if (course.enrolled.length >= course.seats) {
    return res.status(409).json({ error: 'Course is full' });
  }
  course.enrolled.push(student);
  res.status(201).json(course);
});

// DELETE /api/courses/:id
router.delete('/:id', (req, res) => {
  const index = courses.findIndex((course) => course.id === Number(req.params.id));
  if (index === -1) {
    return res.status(404).json({ error: 'Course not found' });
  }
  courses.splice(index, 1);
  res.status(204).end();
});

module.exports = router;
