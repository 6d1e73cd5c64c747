const router = require('express').Router();
const db = require('../db/knex');

router.get('/', async (req, res, next) => {
  try {
    const query = db('bikes').select('*').orderBy('id');
    if (req.query.feature) query.whereRaw('? = ANY(features)', [req.query.feature]);
    res.json(await query);
  } catch (err) {
    next(err);
  }
});

router.post('/', async (req, res, next) => {
  if (!req.body.model) return res.status(400).json({ error: 'model is required' });
  try {
    const [bike] = await db('bikes')
      .insert({ model: req.body.model, features: req.body.features || [] })
      .returning('*');
    res.status(201).json(bike);
  } catch (err) {
    next(err);
  }
});

router.get('/:id', async (req, res, next) => {
  try {
    const bike = await db('bikes').where({ id: req.params.id }).first();
    if (!bike) return res.status(404).json({ error: 'Bike not found' });
    res.json(bike);
  } catch (err) {
    next(err);
  }
});

router.post('/:id/rent', async (req, res, next) => {
  try {
    const rental = await db.transaction(async (trx) => {
      const count = await trx('bikes').where({ id: req.params.id, state: 'free' }).update({ state: 'rented' });
      if (!count) return null;
      const [row] = await trx('rentals').insert({ bike_id: req.params.id, rider: req.body.rider }).returning('*');
      return row;
    });
    if (!rental) return res.status(409).json({ error: 'Bike is not free' });
    res.status(201).json(rental);
  } catch (err) {
    next(err);
  }
});

router.put('/:id', async (req, res, next) => {
  try {
    const [bike] = await db('bikes').where({ id: req.params.id }).update({ model: req.body.model }).returning('*');
    if (!bike) return res.status(404).json({ error: 'Bike not found' });
    res.json(bike);
  } catch (err) {
    next(err);
  }
});

router.delete('/:id', async (req, res, next) => {
  try {
    await db('bikes').where({ id: req.params.id }).del();
    res.status(204).end();
  } catch (err) {
    next(err);
  }
});

module.exports = router;
