import { Controller, Get, Sse } from '@nestjs/common';
import { EMPTY } from 'rxjs';

@Controller('debug')
export class DebugController {
  @Sse('events')
  events() {
    return EMPTY;
  }

  @Get('files/:name')
  file() {
    return '';
  }
}
