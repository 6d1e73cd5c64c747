export default {
  client: 'better-sqlite3',
  connection: {
    filename: process.env.DB_FILE || './gym.sqlite3',
  },
  useNullAsDefault: true,
  migrations: { directory: './migrations' },
  seeds: { directory: './seeds' },
};
