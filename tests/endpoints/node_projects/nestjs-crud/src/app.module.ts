import { forwardRef, Module } from '@nestjs/common';
import { ItemsController, NotesController } from './controllers';

@Module({ imports: [forwardRef(() => ItemsModule)] })
class NotesModule {}

@Module({ imports: [NotesModule], controllers: [ItemsController, NotesController] })
class ItemsModule {}

@Module({ imports: [NotesModule] })
export class AppModule {}
