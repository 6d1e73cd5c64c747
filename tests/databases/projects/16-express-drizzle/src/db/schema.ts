import { integer, pgTable, serial, timestamp, unique, varchar } from 'drizzle-orm/pg-core';

export const events = pgTable('events', {
  id: serial().primaryKey(),
  name: varchar({ length: 200 }).notNull(),
  startsAt: timestamp('starts_at', { withTimezone: true }).notNull(),
  capacity: integer().notNull().default(100),
});

export const guests = pgTable(
  'guests',
  {
    id: serial().primaryKey(),
    eventId: integer('event_id')
      .notNull()
      .references(() => events.id, { onDelete: 'cascade' }),
    email: varchar({ length: 255 }).notNull(),
  },
  (table) => [unique('guests_event_email').on(table.eventId, table.email)],
);
