const ok = async (ctx) => {
  ctx.body = { ok: true }
}

export const routes = [
  { method: 'get', path: '/carts', handler: ok },
  {
    method: 'post',
    path: '/carts/:cartId',
    handler: ok,
    children: [
      { method: 'get', path: '/lines', handler: ok },
      { method: 'delete', path: '/lines/:line', handler: ok }
    ]
  }
]
