import { applyDecorators, Body, Delete, Get, Header, Param, Post } from '@nestjs/common';

export const Listing = (path = '') => applyDecorators(Get(path), Header('X-List', '1'));

export abstract class CrudController {
  @Listing()
  list() {
    return [];
  }

  @Get(':id')
  one(@Param('id') id: string) {
    return { id };
  }

  @Post()
  create(@Body() body: object) {
    return body;
  }

  @Delete(':id')
  remove() {
    return {};
  }
}
