import { Controller, Get, Head, Post } from '@nestjs/common';

@Controller({ path: 'books', version: '1' })
export class BooksController {
  @Get('/')
  list() {
    return [];
  }

  @Post('/:isbn/lend/')
  lend() {
    return {};
  }
}
