/** Owns the shop: its routes, and a data base that is slow enough to be seen in a trace. */
import { SpanKind } from '@opentelemetry/api'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { inSpan, traced, tracedFetch } from './otel.js'

const PRICES = new Map([
  ['tea', 4.5],
  ['cup', 12],
  ['kettle', 39],
])

/** `self` gives the app's own address: the checkout asks the stock over HTTP, as if it were another service. */
export function createApp(self) {
  const app = new Hono()
  app.use(traced)
  app.get('/', (c) => c.json({ products: [...PRICES.keys()] }))
  app.get('/stock/:product', async (c) => {
    const product = c.req.param('product')
    const price = await query('SELECT price FROM products WHERE name = $1', () =>
      PRICES.get(product),
    )
    if (price === undefined) throw new HTTPException(404, { message: `there is no ${product}` })
    return c.json({ product, price })
  })
  app.post('/checkout/:product', async (c) => {
    const product = c.req.param('product')
    const price = await inSpan('price the cart', {}, async (span) => {
      const reply = await tracedFetch(`${self()}/stock/${product}`)
      if (!reply.ok) throw new HTTPException(404, { message: `there is no ${product}` })
      const { price } = await reply.json()
      span.setAttribute('cart.total', price)
      return price
    })
    const order = await inSpan('place the order', { attributes: { product } }, (span) => {
      span.addEvent('payment accepted', { 'payment.amount': price })
      return query('INSERT INTO orders VALUES ($1, $2) RETURNING id', () => 4711)
    })
    return c.json({ order, price }, 201)
  })
  app.get('/broken', async (c) => {
    await query('SELECT * FROM moon', () => {
      throw new Error('relation "moon" does not exist')
    })
    return c.json({})
  })
  app.onError((error, c) => {
    const status = error instanceof HTTPException ? error.status : 500
    return c.json({ error: error.message }, status)
  })
  return app
}

function query(statement, answer) {
  const attributes = { 'db.system.name': 'postgresql', 'db.query.text': statement }
  const name = statement.split(' ')[0]
  return inSpan(name, { kind: SpanKind.CLIENT, attributes }, async () => {
    await new Promise((resolve) => setTimeout(resolve, 2))
    return answer()
  })
}
