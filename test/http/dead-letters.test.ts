import { describe, expect, it } from 'vitest'
import type { DeadLetter, DeadLetterAsks } from '../../src/actors/livestore/contract.js'
import type { PushRequest, PushResult, ReceiverAsks } from '../../src/actors/receiver/contract.js'
import type { Asker } from '../../src/bus/actor.js'
import { deadLetterApi } from '../../src/http/dead-letters.js'
import { appWith } from './fake-frontend.js'

const LETTER: DeadLetter = {
  id: 'traces-0-00112233445566aa',
  identity: '00112233445566aabbccddeeff001122',
  topic: 'traces',
  partition: 0,
  offset: 4096,
  tenant: 'team-a',
  timestamp_ms: 1_700_000_000_000,
  spans: 7,
  length_bytes: 3,
  tries: 3,
  reason: 'threw',
  why: 'livestore-0 threw E: x',
  wasAcknowledged: false,
  quarantinedAt_ms: 1_700_000_001_000,
}
const BYTES = Uint8Array.of(10, 1, 0)
const DURABLE: PushResult = { ok: true, rejectedSpans: 0, message: '' }

/** An app over a livestore that holds one letter, and a receiver that answers so. */
function withLetter(answer: PushResult = DURABLE) {
  const held = new Map([[LETTER.id, LETTER]])
  const pushed: PushRequest[] = []
  const removed: string[] = []
  const livestore = {
    deadLetters: () =>
      Promise.resolve({ letters: [...held.values()], size_bytes: 3, max_letters: 5, max_bytes: 9 }),
    deadLetter: ({ id }: { id: string }) => {
      const letter = held.get(id)
      return Promise.resolve(letter && { letter, bytes: BYTES })
    },
    discardDeadLetter: ({ id, why }: { id: string; why: string }) => {
      removed.push(`${id} ${why}`)
      return Promise.resolve(held.delete(id))
    },
  } as unknown as Asker<DeadLetterAsks>
  const receiver: Asker<ReceiverAsks> = {
    replay: (request) => {
      pushed.push(request)
      return Promise.resolve(answer)
    },
  }
  const deadLetters = deadLetterApi(livestore, receiver, 1000)
  const { app } = appWith({}, { deadLetters, multitenancy_enabled: true })
  const call = async (method: string, path = '') => {
    const reply = await app.request(`/api/bus/dlq${path}`, { method })
    return { status: reply.status, text: await reply.text() }
  }
  return { app, call, pushed, removed, held }
}

describe('/api/bus/dlq', () => {
  it('lists what is there, since when, and the bounds; without a tenant', async () => {
    const { status, text } = await withLetter().call('GET')
    expect(status).toBe(200)
    expect(JSON.parse(text)).toEqual({
      count: 1,
      bytes: 3,
      since: '2023-11-14T22:13:21.000Z',
      limits: { count: 5, bytes: 9 },
      deadLetters: [
        {
          id: LETTER.id,
          topic: 'traces',
          partition: 0,
          offset: 4096,
          tenant: 'team-a',
          receivedAt: '2023-11-14T22:13:20.000Z',
          quarantinedAt: '2023-11-14T22:13:21.000Z',
          spans: 7,
          bytes: 3,
          tries: 3,
          reason: 'threw',
          lastDeath: 'livestore-0 threw E: x',
          wasAcknowledged: false,
        },
      ],
    })
  })

  it('shows one, and its bytes as they came', async () => {
    const { app, call } = withLetter()
    expect(JSON.parse((await call('GET', `/${LETTER.id}`)).text)).toMatchObject({ spans: 7 })
    const raw = await app.request(`/api/bus/dlq/${LETTER.id}?raw=true`)
    expect(raw.headers.get('content-type')).toBe('application/x-protobuf')
    expect(new Uint8Array(await raw.arrayBuffer())).toEqual(BYTES)
  })

  it('replays as its tenant, and removes the letter only after it is durable', async () => {
    const { call, pushed, removed } = withLetter()
    expect(await call('POST', `/${LETTER.id}/replay`)).toMatchObject({ status: 200 })
    expect(pushed).toEqual([{ tenant: 'team-a', body: BYTES, isReplay: true }])
    expect(removed).toEqual([`${LETTER.id} replayed`])
  })

  it.each([
    [409, { ok: true, rejectedSpans: 2, message: 'QUARANTINED: 2 spans' }],
    [409, { ok: false, refused: 'invalid', message: 'no OTLP' }],
    [503, { ok: false, refused: 'unavailable', message: 'not durable in time' }],
    [503, { ok: false, refused: 'rate_limited', message: 'full' }],
  ] as const)('keeps the letter when its replay is answered so: %i %j', async (status, answer) => {
    const { call, removed } = withLetter(answer)
    const reply = await call('POST', `/${LETTER.id}/replay`)
    expect(reply).toMatchObject({ status })
    expect(reply.text).toContain(`still there: ${answer.message}`)
    expect(removed).toEqual([])
  })

  it('discards, once', async () => {
    const { call, removed } = withLetter()
    expect(await call('DELETE', `/${LETTER.id}`)).toMatchObject({ status: 200 })
    expect(removed).toEqual([`${LETTER.id} discarded`])
    expect(await call('DELETE', `/${LETTER.id}`)).toMatchObject({ status: 404 })
  })

  it.each(['GET', 'DELETE', 'POST'])('says so when there is no such letter: %s', async (method) => {
    const { call } = withLetter()
    const path = method === 'POST' ? '/nothing%2F..%2Fx/replay' : '/__proto__'
    const reply = await call(method, path)
    expect(reply.status).toBe(404)
    expect(reply.text).toContain('there is no dead letter')
  })
})
