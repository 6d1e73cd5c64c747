const { Router } = require('express');
const { body } = require('express-validator');
const controller = require('../controllers/petController');
const validate = require('../middleware/validate');

const router = Router();

router
  .route('/')
  .get(controller.list)
  .post(
    body('name').isString().notEmpty(),
    body('species').isIn(['dog', 'cat', 'rabbit']),
    validate,
    controller.create,
  );

router.route('/:id').get(controller.get).put(controller.update).delete(controller.remove);

router.post('/:id/visits', controller.addVisit);

module.exports = router;
