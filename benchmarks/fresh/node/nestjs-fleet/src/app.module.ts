import { Controller, Get, Module, VERSION_NEUTRAL } from '@nestjs/common'
import { TrucksModule } from './trucks/trucks.module'

@Controller({ path: 'health', version: VERSION_NEUTRAL })
export class HealthController {
  @Get()
  check() { return {} }
}

@Module({ imports: [TrucksModule], controllers: [HealthController] })
export class AppModule {}
