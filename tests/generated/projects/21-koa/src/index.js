const Koa = require('koa');
const bodyParser = require('koa-bodyparser');
const cors = require('@koa/cors');
const logger = require('koa-logger');
const Router = require('@koa/router');
const stations = require('./routes/stations');

const app = new Koa();
const router = new Router();

router.get('/', (ctx) => {
  ctx.body = { message: 'Weather Stations API' };
});

app.use(async (ctx, next) => {
  try {
    await next();
  } catch (err) {
    ctx.status = err.status || 500;
    ctx.body = { error: err.message };
  }
});
app.use(logger());
app.use(cors());
app.use(bodyParser());
app.use(router.routes()).use(router.allowedMethods());
app.use(stations.routes()).use(stations.allowedMethods());

const port = process.env.PORT || 3000;
app.listen(port, () => console.log(`Koa listening on ${port}`));
