import { Module } from '@nestjs/common';
import { OrdersController } from './orders.controller';
import { ProductsController, ProductsV2Controller } from './products.controller';
import { StatusController } from './status.controller';

@Module({ controllers: [OrdersController, ProductsController, ProductsV2Controller, StatusController] })
export class AppModule {}
