import { items } from './items.js'
import reviews from './reviews.js'

export default [items, reviews()]
