import App from './app.js'
import { PostsController } from './posts/posts.controller.js'
import { UsersController } from './users/users.controller.js'

const app = new App([new PostsController(), new UsersController('/people')], Number(process.env.PORT) || 5000)

app.listen()
