export default {
  method: 'GET',
  url: '/status',
  handler: async () => ({ up: true })
}
