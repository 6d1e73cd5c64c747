import { Controller, Get } from '@nestjs/common';

@Controller('/authors/')
export class AuthorsController {
  @Get()
  list() {
    return [];
  }

  @Get('by-:first-:last')
  named() {
    return {};
  }
}
