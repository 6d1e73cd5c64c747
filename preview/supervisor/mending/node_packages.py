"""Packages of Node that a mend may install: those that a program's name for them cannot mean anything else."""

from __future__ import annotations

from typing import Final

WELL_KNOWN_NODE: Final = frozenset(
    """agenda ajv ajv-formats amqplib apollo-server apollo-server-express archiver argon2 axios bcrypt bcryptjs
    better-auth better-sqlite3 body-parser bson bull bullmq cache-manager chalk cheerio class-transformer
    class-validator cloudinary cls-hooked colors compression connect-flash connect-mongo connect-pg-simple
    connect-redis connect-session-sequelize consolidate cookie-parser cookie-session cors cross-fetch
    crypto-js csurf csv-parse csv-parser cuid dataloader date-fns dayjs dotenv dotenv-expand dotenv-flow dotenv-safe
    drizzle-orm ejs env-var envalid exceljs express express-async-errors express-async-handler express-basic-auth
    express-ejs-layouts express-fileupload express-flash express-handlebars express-http-context express-jwt
    express-list-endpoints express-mongo-sanitize express-mysql-session express-rate-limit express-react-views
    express-session express-useragent express-validator express-winston fast-xml-parser fastify
    fastify-plugin fastify-type-provider-zod firebase-admin formidable fs-extra geoip-lite googleapis got graphql
    graphql-subscriptions graphql-tag graphql-tools graphql-upload handlebars hbs helmet hono hpp http-errors
    http-proxy-middleware http-status http-status-codes inversify ioredis joi jose js-yaml jsdom jsonwebtoken kafkajs
    knex koa koa-body koa-bodyparser koa-json koa-logger koa-mount koa-router koa-static koa-views lodash lodash.get
    lodash.merge mailgun-js mariadb marked method-override mime-types module-alias moment moment-timezone
    mongodb mongoose morgan mqtt multer multer-s3 multer-storage-cloudinary mustache mysql mysql2 nanoid needle
    nest-winston nestjs-pino nestjs-zod node-cron node-fetch node-schedule nodemailer nunjucks objection openai oslo
    otp-generator passport passport-facebook passport-github2 passport-google-oauth20 passport-jwt passport-local
    pdfkit pg pg-hstore pg-promise pino pino-http pino-pretty postgres pug qrcode qs rate-limiter-flexible razorpay
    reflect-metadata request-ip resend response-time rotating-file-stream routing-controllers rxjs sanitize-html
    sequelize sequelize-typescript serve-favicon serve-index short-uuid shortid simple-git slugify socket.io
    socket.io-client sqlite3 stripe superagent supertest swagger-autogen swagger-jsdoc swagger-ui-express tedious
    tsconfig-paths tslib tsyringe twig twilio type-graphql typedi typeorm typeorm-naming-strategies ulid umzug
    underscore unzipper uuid uuidv4 validator web-push winston winston-daily-rotate-file ws xlsx xml2js xss-clean
    yaml yamljs zod""".split()  # noqa: SIM905  a table is easier to read this way
)
"""Exact names. Names that projects give to a folder or an alias of their own (``config``, ``utils``) are left out."""
SCOPES: Final = frozenset(
    """@apollo @as-integrations @asteasolutions @aws-sdk @azure @bull-board @elastic @faker-js @fastify @google-cloud
    @graphql-tools @hapi @hono @koa @libsql @mikro-orm @neondatabase @nestjs @nestjs-modules @opentelemetry
    @scalar @sendgrid @sentry @sinclair @socket.io @supabase @trpc
    @upstash""".split()  # noqa: SIM905  a table is easier to read this way
)
"""Scopes, each of which belongs to one known organisation: nobody else can publish below it."""
