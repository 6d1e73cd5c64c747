const bodySchema = {
  type: 'object',
  required: ['name'],
  properties: {
    name: { type: 'string', minLength: 1 },
    enabled: { type: 'boolean', default: false },
    percent: { type: 'integer', minimum: 0, maximum: 100, default: 100 },
  },
};

const key = (name) => `flag:${name}`;

const parse = (name, hash) => ({ name, enabled: hash.enabled === '1', percent: Number(hash.percent) });

export default async function flags(app) {
  const { redis } = app;

  const find = async (name) => {
    const hash = await redis.hgetall(key(name));
    return Object.keys(hash).length ? parse(name, hash) : null;
  };

  const store = async ({ name, enabled, percent }) => {
    await redis
      .multi()
      .hset(key(name), { enabled: enabled ? 1 : 0, percent })
      .sadd('flags', name)
      .exec();
    return find(name);
  };

  app.get('/', async () => {
    const names = (await redis.smembers('flags')).sort();
    return Promise.all(names.map(find));
  });

  app.post('/', { schema: { body: bodySchema } }, async (request, reply) => {
    if (await redis.exists(key(request.body.name))) return reply.code(409).send({ error: 'Flag exists' });
    return reply.code(201).send(await store(request.body));
  });

  app.get('/:name', async (request, reply) => {
    const flag = await find(request.params.name);
    return flag ?? reply.code(404).send({ error: 'Flag not found' });
  });

  app.put('/:name', async (request, reply) => {
    const flag = await find(request.params.name);
    if (!flag) return reply.code(404).send({ error: 'Flag not found' });
    return store({ ...flag, ...request.body, name: flag.name });
  });

  app.delete('/:name', async (request, reply) => {
    await redis.multi().del(key(request.params.name)).srem('flags', request.params.name).exec();
    return reply.code(204).send();
  });
}
