import type { FastifyPluginAsync, RouteOptions } from 'fastify'
import { listOrders, createOrder } from './order.controller.js'

const table: RouteOptions[] = [
  { method: 'GET', url: '/', handler: listOrders },
  { method: 'POST', url: '/', handler: createOrder },
  { method: 'GET', url: '/:orderId/items/:itemId?', handler: listOrders },
]

const orderRoutes: FastifyPluginAsync = async (app) => {
  table.forEach((route) => app.route(route))
}

export default orderRoutes
