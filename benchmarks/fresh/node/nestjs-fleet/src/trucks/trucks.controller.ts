import { All, Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Version } from '@nestjs/common'

const PATH = 'trucks'

abstract class Readable {
  @Get('count')
  count() { return 0 }
}

@Controller(PATH)
export class TrucksController extends Readable {
  @Get()
  list() { return [] }

  @Get([':id', 'by-id/:id'])
  one(@Param('id') id: string) { return id }

  @Post()
  @HttpCode(202)
  create(@Body() body: object) { return body }

  @Version('2')
  @Patch(':id')
  change() { return {} }

  @Version(['1', '2'])
  @Delete(':id')
  remove() { return {} }
}

@Controller({ path: [`${PATH}/:id/logs`, 'logs'], version: '3' })
export class LogsController {
  @Get('/latest')
  latest() { return {} }

  @All('any')
  any() { return {} }
}
