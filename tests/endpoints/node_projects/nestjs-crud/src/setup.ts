import type { INestApplication } from '@nestjs/common';

export function setup(app: INestApplication): INestApplication {
  app.setGlobalPrefix('v1');
  return app;
}
