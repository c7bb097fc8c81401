/** Owns the time from the ack of a span to the first search that finds it, measured with single spans. */
import { systemClock } from '../lib/time.js'
import { grpcClient } from '../load/otlp-client.js'
import { OtlpWriter } from '../load/otlp-writer.js'
import type { BenchServer } from './server.js'

const PROBES = 20
const PROBE_TIMEOUT_MS = 5000

export async function searchable(server: BenchServer): Promise<{ p50: number; max: number }> {
  const client = grpcClient(`127.0.0.1:${server.grpc}`, '')
  const delays: number[] = []
  try {
    for (let probe = 0; probe < PROBES; probe++) {
      const sent = await client.send(probeRequest(probe), PROBE_TIMEOUT_MS)
      if (!sent.ok) throw new Error(`probe refused: ${sent.error}`)
      const acked = systemClock.monotonic()
      const path = `/api/search?${new URLSearchParams({ q: `{ span.probe = ${probe} }` }).toString()}`
      for (;;) {
        const reply = await server.get<{ traces?: unknown[] }>(path)
        if ((reply.traces ?? []).length > 0) break
        if (systemClock.monotonic() - acked > PROBE_TIMEOUT_MS)
          throw new Error(`probe ${probe} not found in time`)
      }
      delays.push(systemClock.monotonic() - acked)
    }
  } finally {
    client.close()
  }
  delays.sort((a, b) => a - b)
  return { p50: delays[PROBES >> 1]!, max: delays.at(-1)! }
}

function probeRequest(probe: number): Buffer {
  const w = new OtlpWriter()
  const now = BigInt(Math.floor(systemClock.now())) * 1_000_000n
  w.message(1, () => {
    w.message(1, () => w.attribute(1, 'service.name', 'probe'))
    w.message(2, () => {
      w.message(2, () => {
        w.bytes(1, Buffer.from((probe + 1).toString(16).padStart(32, '0'), 'hex'))
        w.bytes(2, Buffer.from((probe + 1).toString(16).padStart(16, '0'), 'hex'))
        w.text(5, 'probe')
        w.fixed64(7, now)
        w.fixed64(8, now + 1000n)
        w.attribute(9, 'probe', probe)
      })
    })
  })
  return w.take()
}
