import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module';

const bootstrap = async (): Promise<void> => {
  const app = await NestFactory.create(AppModule.register({ debug: true }), { logger: false });
  const server = app.getHttpAdapter();
  server.get('/raw', (_req: unknown, res: { send(text: string): void }) => res.send('raw'));
  await app.listen(process.env.PORT ?? 3000);
};
void bootstrap();
