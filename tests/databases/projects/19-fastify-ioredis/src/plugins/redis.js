import fp from 'fastify-plugin';
import Redis from 'ioredis';

export default fp(async (app) => {
  const redis = new Redis(process.env.REDIS_URL, { lazyConnect: true, maxRetriesPerRequest: 3 });
  await redis.connect();
  app.decorate('redis', redis);
  app.addHook('onClose', async () => redis.quit());
});
