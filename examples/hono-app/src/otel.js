/** Owns the two ways in which the app makes spans: one a request, by a middleware, and nested ones by hand. */
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { routePath } from 'hono/route'
import {
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_HTTP_ROUTE,
  ATTR_URL_FULL,
  ATTR_URL_PATH,
} from '@opentelemetry/semantic-conventions'

const tracer = trace.getTracer('hono-app', '1.0.0')

/** A server span around each request; it goes on with the caller's trace where there is one. */
export async function traced(c, next) {
  const parent = propagation.extract(context.active(), c.req.header())
  const attributes = { [ATTR_HTTP_REQUEST_METHOD]: c.req.method, [ATTR_URL_PATH]: c.req.path }
  const options = { kind: SpanKind.SERVER, attributes }
  await tracer.startActiveSpan(c.req.method, options, parent, async (span) => {
    c.header('x-trace-id', span.spanContext().traceId)
    await next()
    const route = routePath(c, -1)
    span.updateName(`${c.req.method} ${route}`)
    span.setAttribute(ATTR_HTTP_ROUTE, route)
    span.setAttribute(ATTR_HTTP_RESPONSE_STATUS_CODE, c.res.status)
    // The caller's mistakes (4xx) are no failures of the server.
    if (c.error && c.res.status >= 500) failed(span, c.error)
    span.end()
  })
}

/** Runs `work` in a span below the active one; what it throws is on the span, and goes on. */
export function inSpan(name, options, work) {
  return tracer.startActiveSpan(name, options, async (span) => {
    try {
      return await work(span)
    } catch (error) {
      failed(span, error)
      throw error
    } finally {
      span.end()
    }
  })
}

/** fetch in a client span, with the trace's context in the headers. */
export function tracedFetch(url, init = {}) {
  const method = init.method ?? 'GET'
  const attributes = { [ATTR_HTTP_REQUEST_METHOD]: method, [ATTR_URL_FULL]: url }
  return inSpan(method, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    const headers = { ...init.headers }
    propagation.inject(context.active(), headers)
    const reply = await fetch(url, { ...init, headers })
    span.setAttribute(ATTR_HTTP_RESPONSE_STATUS_CODE, reply.status)
    return reply
  })
}

function failed(span, error) {
  span.recordException(error)
  span.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
}
