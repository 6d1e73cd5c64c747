export const up = (knex) =>
  knex.schema.createTable('members', (table) => {
    table.increments('id');
    table.string('name').notNullable();
    table.enum('plan', ['basic', 'premium']).notNullable().defaultTo('basic');
    table.boolean('active').notNullable().defaultTo(true);
    table.timestamps(true, true);
  });

export const down = (knex) => knex.schema.dropTable('members');
