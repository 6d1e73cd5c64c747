const Router = require('@koa/router');
const db = require('../db');

const router = new Router({ prefix: '/stations' });

router.get('/', async (ctx) => {
  ctx.body = await db.findAsync({});
});

router.post('/', async (ctx) => {
  const { name, altitude = 0 } = ctx.request.body;
  ctx.assert(name, 400, 'name is required');
  ctx.status = 201;
  ctx.body = await db.insertAsync({ name, altitude });
});

router.get('/:id', async (ctx) => {
  const station = await db.findOneAsync({ _id: ctx.params.id });
  ctx.assert(station, 404, 'Station not found');
  ctx.body = station;
});

router.put('/:id', async (ctx) => {
  const { numAffected } = await db.updateAsync({ _id: ctx.params.id }, { $set: ctx.request.body });
  ctx.assert(numAffected, 404, 'Station not found');
  ctx.body = await db.findOneAsync({ _id: ctx.params.id });
});

router.del('/:id', async (ctx) => {
  await db.removeAsync({ _id: ctx.params.id });
  ctx.status = 204;
});

module.exports = router;
