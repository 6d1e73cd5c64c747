import { Controller, Get } from '@nestjs/common';

@Controller({ path: 'products', version: '1' })
export class ProductsController {
  @Get()
  list() {
    return [];
  }
}

@Controller({ path: ['products', 'goods'], version: '2' })
export class ProductsV2Controller {
  @Get()
  list() {
    return [];
  }
}
