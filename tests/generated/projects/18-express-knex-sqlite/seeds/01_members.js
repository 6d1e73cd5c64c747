export const seed = async (knex) => {
  await knex('members').del();
  await knex('members').insert([
    { id: 1, name: 'Amira Haddad', plan: 'premium' },
    { id: 2, name: 'Jonas Berg', plan: 'basic' },
  ]);
};
