import { Module } from '@nestjs/common';
import { AppController } from './app.controller';
import { SpotsModule } from './spots/spots.module';

@Module({
  imports: [SpotsModule],
  controllers: [AppController],
})
export class AppModule {}
