import { Controller, Get } from '@nestjs/common';
import { CrudController, Listing } from './crud.controller';
import { PATHS } from './paths';

@Controller(PATHS.items)
export class ItemsController extends CrudController {
  @Get(':id/parts')
  parts() {
    return [];
  }
}

@Controller({ path: PATHS.notes })
export class NotesController extends CrudController {
  @Listing('recent')
  recent() {
    return [];
  }

  override remove() {
    return { removed: true };
  }
}
