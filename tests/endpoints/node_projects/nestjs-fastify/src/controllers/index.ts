export { BooksController } from './books.controller';
export { AuthorsController } from './authors.controller';
