import { describe, expect, it } from 'vitest'
import { Unreadable } from '../../../src/actors/querier/unreadable.js'
import { FakeClock } from '../../../src/lib/fake-clock.js'
import { createLog } from '../../../src/lib/log.js'
import { Metrics, MetricsPage, renderMetrics } from '../../../src/lib/metrics.js'
import { BackendError } from '../../../src/storage/backend/backend.js'
import { CorruptBlock, UnsupportedBlock } from '../../../src/storage/block/encoding.js'
import { blockId } from '../frontend/metas.js'

function made() {
  const lines: string[] = []
  const clock = new FakeClock()
  const page = MetricsPage.create()
  const counter = new Metrics(page).counter('unreadable_total', 'x', ['tenant', 'reason'])
  const log = createLog({ write: (line) => lines.push(line) })
  return { lines, clock, page, unreadable: new Unreadable({ clock, log, counter }) }
}
const corrupt = (n: number) => new CorruptBlock(blockId(n), 'span.name', 77, 'checksum')
const ref = (n: number) => ({ blockId: blockId(n), tenant: 'a' })

describe('a source that could not be read', () => {
  it('is damaged when its own bytes are at fault, and not when its store is', () => {
    const { unreadable } = made()
    expect(unreadable.failed(ref(1), corrupt(1))).toEqual({
      blockId: blockId(1),
      message: `block ${blockId(1)}: span.name at byte 77: checksum`,
      isDamaged: true,
    })
    const unsupported = new UnsupportedBlock(blockId(2), 'blockpack9', ['blockpack1'])
    expect(unreadable.failed(ref(2), unsupported)).toMatchObject({ isDamaged: true })
    for (const error of [new BackendError('503', true), new TypeError('a bug')])
      expect(unreadable.failed(ref(3), error)).toMatchObject({ isDamaged: false })
  })

  it('is logged once in a while with its name, whatever the number of queries, and counted each time', async () => {
    const { unreadable, lines, clock, page } = made()
    for (let query = 0; query < 100; query++) unreadable.failed(ref(1), corrupt(1))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(new RegExp(`level=warn .*block=${blockId(1)} .*span.name at byte 77`))
    unreadable.failed(ref(2), corrupt(2))
    unreadable.failed(ref(1), new BackendError('503', true))
    expect(lines).toHaveLength(3)
    await clock.advance(600_000)
    unreadable.failed(ref(1), corrupt(1))
    expect(lines).toHaveLength(4)
    const text = await renderMetrics([{ actor: 'querier-0', sab: page }])
    expect(text).toContain('unreadable_total{tenant="a",reason="corrupt"} 102')
  })
})
