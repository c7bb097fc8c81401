/** Owns the process: it serves until Ctrl-C, or with `--requests N` sends itself N requests, says which traces they made, and ends. */
import { endTracing, protocol, serviceName, spansByTrace } from './tracing.js'
import { serve } from '@hono/node-server'
import { parseArgs } from 'node:util'
import { createApp } from './app.js'

const ROUTES = ['POST /checkout/tea', 'GET /stock/cup', 'GET /', 'GET /broken', 'GET /stock/moon']

const { values } = parseArgs({ options: { requests: { type: 'string' } } })
const port = values.requests === undefined ? Number(process.env.PORT ?? 8080) : 0

let base = ''
const app = createApp(() => base)
const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port }, async (address) => {
  base = `http://127.0.0.1:${address.port}`
  if (values.requests !== undefined) {
    await sendRequests(Number(values.requests))
    return end()
  }
  console.log(`${serviceName} on ${base}, traces go out by ${protocol}; try:`)
  for (const route of ROUTES) {
    const [method, path] = route.split(' ')
    console.log(`  curl -X ${method} ${base}${path}`)
  }
})

process.once('SIGINT', end)
process.once('SIGTERM', end)

/** One line of JSON a request: its trace, and how many spans it has. */
async function sendRequests(count) {
  const sent = []
  for (let i = 0; i < count; i++) {
    const [method, path] = ROUTES[i % ROUTES.length].split(' ')
    const reply = await fetch(base + path, { method })
    await reply.arrayBuffer()
    sent.push({ request: `${method} ${path}`, status: reply.status, traceId: reply.headers.get('x-trace-id') }) // prettier-ignore
  }
  for (const line of sent) console.log(JSON.stringify({ ...line, spans: spansByTrace.get(line.traceId) })) // prettier-ignore
}

async function end() {
  server.closeAllConnections()
  server.close()
  await endTracing()
}
