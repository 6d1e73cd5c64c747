exports.up = (knex) =>
  knex.schema.createTable('rentals', (table) => {
    table.increments('id').primary();
    table.integer('bike_id').notNullable().references('bikes.id').onDelete('CASCADE');
    table.string('rider').notNullable();
    table.timestamp('started_at').defaultTo(knex.fn.now());
  });

exports.down = (knex) => knex.schema.dropTable('rentals');
