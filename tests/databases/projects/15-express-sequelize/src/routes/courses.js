const express = require('express');
const { Course, Lesson } = require('../models');

const router = express.Router();

router.get('/', async (req, res) => {
  res.json(await Course.findAll({ include: 'lessons', order: [['id', 'ASC']] }));
});

router.post('/', async (req, res) => {
  if (!req.body.title) return res.status(400).json({ message: 'title is required' });
  const course = await Course.create(req.body);
  res.status(201).json(course);
});

router.get('/:id', async (req, res) => {
  const course = await Course.findByPk(req.params.id, { include: 'lessons' });
  if (!course) return res.status(404).json({ message: 'Course not found' });
  res.json(course);
});

router.put('/:id', async (req, res) => {
  const course = await Course.findByPk(req.params.id);
  if (!course) return res.status(404).json({ message: 'Course not found' });
  res.json(await course.update(req.body));
});

router.post('/:id/lessons', async (req, res) => {
  const course = await Course.findByPk(req.params.id);
  if (!course) return res.status(404).json({ message: 'Course not found' });
  res.status(201).json(await Lesson.create({ title: req.body.title, courseId: course.id }));
});

router.delete('/:id', async (req, res) => {
  const count = await Course.destroy({ where: { id: req.params.id } });
  res.sendStatus(count ? 204 : 404);
});

module.exports = router;
