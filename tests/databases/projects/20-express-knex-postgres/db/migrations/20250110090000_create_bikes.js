exports.up = async function (knex) {
  await knex.raw('CREATE EXTENSION IF NOT EXISTS pgcrypto');
  await knex.schema.createTable('bikes', (table) => {
    table.increments('id').primary();
    table.uuid('tag').notNullable().defaultTo(knex.raw('gen_random_uuid()'));
    table.string('model').notNullable();
    table.enu('state', ['free', 'rented', 'broken'], { useNative: true, enumName: 'bike_state' }).defaultTo('free');
    table.specificType('features', 'text[]').notNullable().defaultTo('{}');
    table.timestamps(true, true);
  });
};

exports.down = async function (knex) {
  await knex.schema.dropTable('bikes');
  await knex.raw('DROP TYPE bike_state');
};
