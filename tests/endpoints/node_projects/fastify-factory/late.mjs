export default async function late (app) {
  app.get('', async () => 'late')
  app.head('/only', async () => '')
  app.get('/with/slash/', async () => '')
}
