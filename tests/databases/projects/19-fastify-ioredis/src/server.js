import 'dotenv/config';
import Fastify from 'fastify';
import redisPlugin from './plugins/redis.js';
import flags from './routes/flags.js';

const app = Fastify({ logger: { level: process.env.LOG_LEVEL || 'info' } });

await app.register(redisPlugin);
await app.register(flags, { prefix: '/flags' });

app.get('/health', async () => {
  const info = await app.redis.info('server');
  return { redis: info.match(/redis_version:(\S+)/)[1], pong: await app.redis.ping() };
});

try {
  await app.listen({ port: Number(process.env.PORT) || 3000, host: '0.0.0.0' });
} catch (error) {
  app.log.error(error);
  process.exit(1);
}
