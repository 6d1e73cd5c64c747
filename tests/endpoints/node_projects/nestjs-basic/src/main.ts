import 'reflect-metadata';
import { RequestMethod } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module';

async function bootstrap() {
  const app = await NestFactory.create(AppModule, { logger: false });
  app.setGlobalPrefix('api', { exclude: ['health', 'files/*rest', 'logs/{*rest}', { path: 'cats/:id', method: RequestMethod.DELETE }] });
  app.enableCors();
  await app.listen(process.env.PORT ?? 3000);
}
bootstrap();
