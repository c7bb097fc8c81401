/** Owns /api/bus/dlq: the records that killed their consumer again and again; who looks at them decides what becomes of them. */
import { Hono } from 'hono'
import type { DeadLetter } from '../../actors/livestore/contract.js'
import type { AppDependencies, Env } from '../dependencies.js'

const RAW_TYPE = { 'content-type': 'application/x-protobuf' }

export function deadLetterRoutes({ deadLetters }: AppDependencies): Hono<Env> {
  const path = '/api/bus/dlq/:id'
  return new Hono<Env>()
    .get('/api/bus/dlq', async (c) => {
      const { letters, size_bytes, max_letters, max_bytes } = await deadLetters.list()
      return c.json({
        count: letters.length,
        bytes: size_bytes,
        since: letters[0] ? iso(letters[0].quarantinedAt_ms) : null,
        limits: { count: max_letters, bytes: max_bytes },
        deadLetters: letters.map(shown),
      })
    })
    .get(path, async (c) => {
      const found = await deadLetters.find(c.req.param('id'))
      if (!found) return c.text(unknown(c.req.param('id')), 404)
      if (c.req.query('raw') !== 'true') return c.json(shown(found.letter))
      const name = `attachment; filename="${found.letter.id}.binpb"`
      return c.body(found.bytes as Uint8Array<ArrayBuffer>, 200, {
        ...RAW_TYPE,
        'content-disposition': name,
      })
    })
    .post(`${path}/replay`, async (c) => {
      const id = c.req.param('id')
      const reply = await deadLetters.replay(id)
      if (reply.kind === 'unknown') return c.text(unknown(id), 404)
      if (reply.kind === 'replayed') return c.json({ replayed: id, spans: reply.letter.spans })
      const text = `not replayed, the dead letter is still there: ${reply.why}\n`
      return c.text(text, reply.isRetryable ? 503 : 409)
    })
    .delete(path, async (c) => {
      const id = c.req.param('id')
      if (!(await deadLetters.discard(id))) return c.text(unknown(id), 404)
      return c.json({ discarded: id })
    })
}

function shown(letter: DeadLetter) {
  return {
    id: letter.id,
    topic: letter.topic,
    partition: letter.partition,
    offset: letter.offset,
    tenant: letter.tenant,
    receivedAt: iso(letter.timestamp_ms),
    quarantinedAt: iso(letter.quarantinedAt_ms),
    spans: letter.spans,
    bytes: letter.length_bytes,
    tries: letter.tries,
    reason: letter.reason,
    lastDeath: letter.why,
    wasAcknowledged: letter.wasAcknowledged,
  }
}

function iso(at_ms: number): string {
  return new Date(at_ms).toISOString()
}

function unknown(id: string): string {
  return `there is no dead letter ${JSON.stringify(id.slice(0, 100))}; GET /api/bus/dlq lists them\n`
}
