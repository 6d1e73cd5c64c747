var express = require('express');
var createError = require('http-errors');
var router = express.Router();

var concerts = [];

/* GET concerts listing. */
router.get('/', function(req, res, next) {
  res.json(concerts);
});

router.post('/', function(req, res, next) {
  var concert = { id: concerts.length + 1, city: req.body.city, date: req.body.date };
  concerts.push(concert);
  res.status(201).json(concert);
});

router.get('/:id', function(req, res, next) {
  var concert = concerts.find(function(one) { return one && one.id === Number(req.params.id); });
  if (!concert) return next(createError(404));
  res.json(concert);
});

router.put('/:id', function(req, res, next) {
  var concert = concerts.find(function(one) { return one && one.id === Number(req.params.id); });
  if (!concert) return next(createError(404));
  concert.city = req.body.city || concert.city;
  res.json(concert);
});

router.delete('/:id', function(req, res, next) {
  concerts = concerts.map(function(one) { return one && one.id === Number(req.params.id) ? null : one; });
  res.status(204).end();
});

module.exports = router;
