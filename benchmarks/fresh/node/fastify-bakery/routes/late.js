export const prefixOverride = ''
export default async (app) => {
  app.route({ method: 'GET', path: '/late', handler: async () => '' })
}
