import { Controller, Get, Post, Version } from '@nestjs/common';

@Controller('orders')
export class OrdersController {
  @Get()
  list() {
    return [];
  }

  @Version('2')
  @Get()
  listAgain() {
    return [];
  }

  @Version(['2', '3'])
  @Post(':id/cancel')
  cancel() {
    return {};
  }
}
