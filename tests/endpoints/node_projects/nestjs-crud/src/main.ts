import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module';
import { setup } from './setup';

async function main() {
  const app = setup(await NestFactory.create(AppModule, { logger: false }));
  await app.listen(process.env.PORT ?? 3000);
}
main();
