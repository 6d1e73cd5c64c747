import { Controller, Get, Module, Put } from '@nestjs/common';

@Controller('users')
class AdminUsersController {
  @Get()
  list() {
    return [];
  }

  @Put(':userId/role')
  role() {
    return {};
  }
}

@Module({ controllers: [AdminUsersController] })
export class AdminModule {}
