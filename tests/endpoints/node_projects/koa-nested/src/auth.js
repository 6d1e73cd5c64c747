module.exports = async function auth (ctx, next) {
  if (!ctx.get('Authorization')) ctx.throw(401)
  await next()
}
