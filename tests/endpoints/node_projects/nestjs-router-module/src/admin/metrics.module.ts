import { Controller, Get, Module } from '@nestjs/common';

@Controller()
class MetricsController {
  @Get()
  index() {
    return {};
  }

  @Get('memory')
  memory() {
    return {};
  }
}

@Module({ controllers: [MetricsController] })
export class MetricsModule {}
