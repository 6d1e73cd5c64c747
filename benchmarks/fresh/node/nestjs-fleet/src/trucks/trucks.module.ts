import { Module } from '@nestjs/common'
import { LogsController, TrucksController } from './trucks.controller'

const controllers = [TrucksController, LogsController]
@Module({ controllers })
export class TrucksModule {}
