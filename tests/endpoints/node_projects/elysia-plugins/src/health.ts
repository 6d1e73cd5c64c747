import type { Elysia } from 'elysia'

export const withHealth = (app: Elysia) => app.get('/health', () => 'ok').head('/health', () => '')
