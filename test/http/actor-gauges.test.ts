import { describe, expect, it } from 'vitest'
import { ActorGauges } from '../../src/http/actor-gauges.js'
import type { SupervisorStatus } from '../../src/bus/supervisor.js'
import { Metrics, MetricsPage, renderMetrics } from '../../src/lib/metrics.js'
import { append, makeConsumer, makeRing } from '../bus/support.js'

type Child = SupervisorStatus['children'][number]

const vitals = {
  heap_used_bytes: 5,
  heap_limit_bytes: 10,
  external_bytes: 3,
  loop_lag_p99_ms: 250,
  asks_serving: 2,
}

describe('the gauges of the actors', () => {
  it('show what the supervisor and the rings say, lag in records, bytes and seconds', async () => {
    const ring = makeRing()
    const consumer = makeConsumer(ring)
    append(ring, 1, 100)
    append(ring, 2, 100)
    const page = MetricsPage.create()
    const gauges = new ActorGauges(new Metrics(page), [{ ring, group: 'store', index: 0 }])
    const child = (name: string, state: string, restarts: number) =>
      ({ name, component: 'querier', state, restarts, vitals }) as unknown as Child
    const children = [child('querier-0', 'ready', 0), child('querier-1', 'backing_off', 4)]
    const update = async (now_ms: number) => {
      gauges.update({ children } as unknown as SupervisorStatus, now_ms)
      return renderMetrics([{ actor: 'http-0', sab: page }])
    }
    const text = await update(4001)
    expect(text).toContain('tempo_actors_up{actor="querier-0",component="querier"} 1')
    expect(text).toContain('tempo_actors_up{actor="querier-1",component="querier"} 0')
    expect(text).toContain('tempo_actors_restarts_total{actor="querier-1",component="querier"} 4')
    expect(text).toContain(
      'tempo_actors_event_loop_lag_seconds{actor="querier-0",component="querier"} 0.25',
    )
    expect(text).toContain('tempo_ingest_group_partition_lag{group="store",partition="0"} 2')
    expect(text).toContain(
      'tempo_ingest_group_partition_lag_seconds{group="store",partition="0"} 3',
    )
    const batch = consumer.poll()!
    consumer.commit(batch.end)
    const after = await update(9000)
    expect(after).toContain('tempo_ingest_group_partition_lag{group="store",partition="0"} 0')
    expect(after).toContain('_lag_seconds{group="store",partition="0"} 0')
    expect(after).toContain('tempo_actors_ring_used_bytes{topic="traces",partition="0"} 0')
  })
})
