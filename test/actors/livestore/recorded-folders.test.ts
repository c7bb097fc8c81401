import { describe, expect, it } from 'vitest'
import { recordings, unpack, type Recording } from '../../support/data-folder.js'
import { House, Life } from './house.js'

const BACKEND = 'blocks/'

/** One partition of the recording in a house, which has one. */
async function houseOf(recording: Recording, partition: number): Promise<House> {
  const house = new House()
  house.limits.max_bytes = 2 ** 40
  const own: readonly [string, string][] = [
    [`live-store/wal/p${partition}/`, 'wal/p0/'],
    [`live-store/state/p${partition}/`, 'state/p0/'],
    [`live-store/blocks/p${partition}/`, 'blocks/'],
  ]
  unpack(recording, house.folder, (path) => {
    const found = own.find(([from]) => path.startsWith(from))
    return found && path.replace(...found)
  })
  for (const [path, content] of Object.entries(recording.files)) {
    if (path.startsWith(BACKEND))
      await house.backend.put(path.slice(BACKEND.length), Buffer.from(content, 'base64'))
  }
  await house.restartProcess()
  return house
}

/** Span ids by trace, of a tenant in what was found by span; each has to be in one block. */
function tracesOf(found: ReadonlyMap<string, ReadonlySet<string>>): Map<string, string[]> {
  const traces = new Map<string, string[]>()
  for (const [key, blocks] of found) {
    const [traceId, spanId] = key.split(' ') as [string, string]
    expect([...blocks], key).toHaveLength(1)
    traces.set(traceId, [...(traces.get(traceId) ?? []), spanId].sort())
  }
  return traces
}

describe.each(recordings().map((recording) => [recording.name, recording] as const))(
  'the data folder %s',
  (_, recording) => {
    const partitions = Array.from({ length: recording.partitions }, (_, p) => p)
    const tenants = [...new Set(recording.sent.map(({ tenant }) => tenant))]
    const wanted = (tenant: string) =>
      new Map(
        recording.sent
          .filter((sent) => sent.tenant === tenant)
          .map(({ traceId, spanIds }) => [traceId, spanIds]),
      )

    it('has two tenants with spans in every stage', () => {
      expect(tenants).toHaveLength(2)
      for (const tenant of tenants) {
        const stages = recording.sent.filter((s) => s.tenant === tenant).map((s) => s.stage)
        expect([...new Set(stages)]).toEqual(['flushed', 'complete', 'closed', 'live'])
      }
    })

    it('is opened with every span in one place, also when all is flushed and after the next start', async () => {
      const phases = ['opened', 'flushed', 'opened again'].map((name) => ({
        name,
        found: new Map<string, Map<string, Set<string>>>(tenants.map((t) => [t, new Map()])),
      }))
      const look = async (house: House, phase: number) => {
        for (const tenant of tenants) {
          const found = phases[phase]!.found.get(tenant)!
          // The backend's blocks are seen from every partition.
          for (const [key, blocks] of await house.found(tenant))
            found.set(key, new Set([...(found.get(key) ?? []), ...blocks]))
        }
      }
      for (const partition of partitions) {
        const house = await houseOf(recording, partition)
        const life = await Life.begin(house)
        // What was tried in vain when it was recorded is in the queue.
        expect(life.state.blocks().map((block) => block.state)).toContain('completed')
        expect(life.wal.segments()).toHaveLength(2)
        await look(house, 0)
        await life.partition.cutNow()
        await life.settled()
        expect(life.state.blocks().map((block) => block.state)).not.toContain('completed')
        expect(life.wal.segments()).toHaveLength(1)
        await house.poll()
        await look(house, 1)
        await life.end()
        await house.restartProcess()
        const next = await Life.begin(house)
        await look(house, 2)
        await next.end()
      }
      for (const { name, found } of phases) {
        for (const tenant of tenants)
          expect(tracesOf(found.get(tenant)!), name).toEqual(wanted(tenant))
      }
    })
  },
)
