exports.seed = async function (knex) {
  await knex('rentals').del();
  await knex('bikes').del();
  await knex('bikes').insert([
    { model: 'City 3', features: ['basket', 'lights'] },
    { model: 'Cargo XL', features: ['box'] },
  ]);
};
