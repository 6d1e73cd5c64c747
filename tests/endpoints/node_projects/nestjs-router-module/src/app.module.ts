import { DynamicModule, Module } from '@nestjs/common';
import { RouterModule } from '@nestjs/core';
import { AdminModule } from './admin/admin.module';
import { MetricsModule } from './admin/metrics.module';
import { DebugController } from './debug.controller';

@Module({})
export class AppModule {
  static register(options: { debug: boolean }): DynamicModule {
    return {
      module: AppModule,
      imports: [
        AdminModule,
        MetricsModule,
        RouterModule.register([
          {
            path: 'admin',
            module: AdminModule,
            children: [{ path: 'metrics', module: MetricsModule }],
          },
        ]),
      ],
      controllers: options.debug ? [DebugController] : [],
    };
  }
}
