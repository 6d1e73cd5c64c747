const { v4: uuidv4 } = require('uuid');

const pets = new Map();

const find = (req) => {
  const pet = pets.get(req.params.id);
  if (!pet) {
    const error = new Error('Pet not found');
    error.status = 404;
    throw error;
  }
  return pet;
};

exports.list = (req, res) => {
  res.json([...pets.values()]);
};

exports.create = (req, res) => {
  const pet = { id: uuidv4(), name: req.body.name, species: req.body.species, visits: [] };
  pets.set(pet.id, pet);
  res.status(201).json(pet);
};

exports.get = (req, res) => {
  res.json(find(req));
};

exports.update = (req, res) => {
  const pet = find(req);
  Object.assign(pet, { name: req.body.name ?? pet.name, species: req.body.species ?? pet.species });
  res.json(pet);
};

exports.remove = (req, res) => {
  find(req);
  pets.delete(req.params.id);
  res.status(204).send();
};

exports.addVisit = (req, res) => {
  const pet = find(req);
  pet.visits.push({ reason: req.body.reason, date: new Date().toISOString() });
  res.status(201).json(pet);
};
