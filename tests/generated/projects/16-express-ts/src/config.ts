export const config = {
  port: Number(process.env.PORT ?? 4000),
  apiPrefix: '/api/v1',
} as const;
