import { All, Body, Controller, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { CatsService } from './cats.service';

@Controller('cats')
export class CatsController {
  constructor(private readonly cats: CatsService) {}

  @Get()
  findAll(@Query('page') page: string) {
    return this.cats.findAll();
  }

  @Get(['mine', 'yours'])
  owned() {
    return [];
  }

  @Get(':id')
  findOne(@Param('id') id: string) {
    return { id };
  }

  @Post()
  create(@Body() body: unknown) {
    return body;
  }

  @Patch(':id')
  update(@Param('id') id: string) {
    return { id };
  }

  @Delete(':id')
  remove(@Param('id') id: string) {
    return { id };
  }

  @All('any/*splat')
  any() {
    return {};
  }
}
