/** Owns trace by id, v1 and v2: JSON and protobuf, Tempo's shapes and codes. */
import { Hono, type Context } from 'hono'
import { traceToJson } from '../../otlp/json.js'
import { encodeTraceByIdResponse } from '../../otlp/tempopb.js'
import { answered, wantsProtobuf, type AppDependencies, type Env } from '../dependencies.js'
import { searchRange, traceId } from '../params.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const PROTOBUF_TYPE = { 'content-type': 'application/protobuf' }

export function traceRoutes({ frontend, clock }: AppDependencies): Hono<Env> {
  const ask = async (c: Context<Env>, id: string) => {
    const params = new URL(c.req.url).searchParams
    return answered(
      c,
      await frontend.traceById({
        tenant: c.get('tenant'),
        traceId: traceId(id),
        ...searchRange(params, clock.now()),
      }),
    )
  }

  return new Hono<Env>()
    .get('/api/traces/:id', async (c) => {
      const reply = await ask(c, c.req.param('id'))
      if (!reply.trace && reply.isUnreadForNow) return c.text(reply.unread ?? '', 503)
      // A damaged block stays so: whoever comes again on a 503 would come for ever.
      if (!reply.trace && reply.unread !== undefined)
        return c.text(`trace not found; ${reply.unread}`, 404)
      if (!reply.trace) return c.text('trace not found', 404)
      if (reply.partial !== undefined) return c.text(reply.partial, 422)
      if (wantsProtobuf(c.req.header('accept')))
        return c.body(reply.trace as Uint8Array<ArrayBuffer>, 200, PROTOBUF_TYPE)
      return c.body(traceToJson(reply.trace, { v1: true }), 200, JSON_TYPE)
    })
    .get('/api/v2/traces/:id', async (c) => {
      const reply = await ask(c, c.req.param('id'))
      const trace = reply.trace ?? new Uint8Array(0)
      const reasons = [reply.partial, reply.unread].filter((reason) => reason !== undefined)
      const partialMessage = reasons.length > 0 ? reasons.join('; ') : undefined
      if (wantsProtobuf(c.req.header('accept'))) {
        const body = encodeTraceByIdResponse({
          trace,
          inspected_bytes: reply.inspected_bytes,
          partialMessage,
        })
        return c.body(body as Uint8Array<ArrayBuffer>, 200, PROTOBUF_TYPE)
      }
      const rest: string[] = []
      if (reply.inspected_bytes > 0) {
        rest.push(`"metrics":{"inspectedBytes":"${Math.round(reply.inspected_bytes)}"}`)
      } else rest.push('"metrics":{}')
      if (partialMessage !== undefined) {
        rest.push(`"status":"PARTIAL"`, `"message":${JSON.stringify(partialMessage)}`)
      }
      // Grafana dereferences .trace without looking: an unknown trace is an empty one, with 200.
      const json = `{"trace":${traceToJson(trace, { v1: false })},${rest.join(',')}}`
      return c.body(json, 200, JSON_TYPE)
    })
}
