"""Packages of Node that a mend may install: those that a program's name for them cannot mean anything else."""

from __future__ import annotations

from typing import Final

WELL_KNOWN_NODE: Final = frozenset(
    """apollo-server apollo-server-express argon2 axios bcrypt bcryptjs better-sqlite3 body-parser bullmq
    class-transformer class-validator compression connect-flash connect-mongo connect-redis consolidate cookie-parser
    cookie-session cors cross-fetch csurf date-fns dayjs dotenv dotenv-expand dotenv-safe drizzle-orm ejs
    express express-async-errors express-async-handler express-ejs-layouts express-fileupload express-flash
    express-handlebars express-jwt express-rate-limit express-session express-validator express-winston fastify
    formidable fs-extra googleapis graphql graphql-tag graphql-tools handlebars helmet http-errors http-proxy-middleware
    ioredis jsonwebtoken knex koa koa-body koa-bodyparser koa-router lodash mariadb method-override mongodb mongoose
    morgan multer multer-s3 mysql mysql2 nanoid nest-winston node-cron node-fetch nodemailer nunjucks objection passport
    passport-google-oauth20 passport-jwt passport-local pg pg-hstore pg-promise pino pino-http pino-pretty pug
    reflect-metadata rxjs sequelize serve-favicon socket.io socket.io-client sqlite3 stripe superagent supertest
    swagger-jsdoc swagger-ui-express tedious typeorm underscore uuid winston xss-clean
    yamljs zod""".split()  # noqa: SIM905  a table is easier to read this way
)
"""Exact names. Names that projects give to a folder or an alias of their own (``config``, ``utils``) are left out."""
SCOPES: Final = frozenset(
    (
        "@apollo",
        "@aws-sdk",
        "@fastify",
        "@google-cloud",
        "@hapi",
        "@hono",
        "@koa",
        "@nestjs",
        "@opentelemetry",
        "@sentry",
    )
)
"""Scopes, each of which belongs to one known organisation: nobody else can publish below it."""
