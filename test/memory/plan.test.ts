import { describe, expect, it } from 'vitest'
import {
  leastLimit_bytes,
  planMemory,
  type MemoryPlan,
  type MemoryProblem,
  type MemoryRequest,
} from '../../src/memory/plan.js'
import { Random } from '../support/random.js'

const MIB = 2 ** 20
const GIB = 2 ** 30

const REQUEST: MemoryRequest = {
  limit_bytes: 0,
  available: { bytes: 16 * GIB, of: 'machine' },
  partitions: 2,
  builders: 1,
  maxMessage_bytes: 16 * MIB,
  allocator: 'keeps',
  ring_bytes: 0,
  ingress_bytes: 0,
  head_bytes: 0,
}

function plan(change: Partial<MemoryRequest> = {}): MemoryPlan {
  const made = planMemory({ ...REQUEST, ...change })
  if ('text' in made) throw new Error(`${made.path} ${made.text}`)
  return made
}

function problem(change: Partial<MemoryRequest>): MemoryProblem {
  const made = planMemory({ ...REQUEST, ...change })
  if ('parts' in made) throw new Error(`it fits: ${made.limit_bytes}`)
  return made
}

const container = (mib: number) => ({ available: { bytes: mib * MIB, of: 'container' as const } })

describe('the default', () => {
  it('is 512 MiB where there is plenty, with the sizes that were measured', () => {
    const { limit_bytes, head_bytes, ring_bytes, ingress_bytes, groupSpans, origin } = plan()
    expect(limit_bytes).toBe(512 * MIB)
    expect([head_bytes, ring_bytes, ingress_bytes]).toEqual([40 * MIB, 4 * MIB, 4 * MIB])
    expect(groupSpans).toBe(16_384)
    expect(origin).toBe("the default where the machine's 16 GiB allow it")
  })

  it('has room for pages of parquet where new blocks are that', () => {
    const { limit_bytes, groupSpans, parts } = plan({ buildsParquet: true })
    expect([limit_bytes, groupSpans]).toEqual([512 * MIB, 4096])
    const builders = parts.find(({ name }) => name === 'builders')!
    expect(builders.bytes / MIB).toBe(49 + Math.ceil((4096 * 2240) / MIB))
    expect(builders.about).toBe('1 parquet builder, 4096 spans at a time')
    for (let mib = 458; mib < 700; mib++) plan({ buildsParquet: true, limit_bytes: mib * MIB })
  })

  it('is most of a container, with smaller heads and groups', () => {
    const { limit_bytes, head_bytes, groupSpans, origin } = plan({
      ...container(400),
      allocator: 'tuned',
    })
    expect(limit_bytes).toBe(368 * MIB)
    expect(head_bytes).toBeLessThan(40 * MIB)
    expect(groupSpans).toBeLessThan(16_384)
    expect(origin).toBe("92 % of the container's 400 MiB")
  })

  it('is what is needed on a machine whose quarter is less', () => {
    const made = plan({ available: { bytes: GIB, of: 'machine' } })
    expect(made.limit_bytes).toBe(leastLimit_bytes(REQUEST))
    expect(made.origin).toBe("the least that is needed, of the machine's 1 GiB")
  })

  it('tells of an environment that takes less, unless it is that already', () => {
    for (const allocator of ['keeps', 'trims'] as const) {
      expect(problem({ ...container(256), allocator }).text).toContain('MALLOC_ARENA_MAX=4')
    }
    expect(problem({ ...container(256), allocator: 'tuned' }).text).not.toContain('MALLOC')
  })

  it('says in a sentence what a container that is too small lacks', () => {
    const { path, text } = problem(container(256))
    expect(path).toBe('memory.limit')
    expect(text).toMatch(
      /^is 235 MiB \(92 % of the container's 256 MiB\), too little by \d+ MiB: 2 partitions, 1 block builder and requests of up to 16 MiB need at least \d+ MiB \(\d+ MiB with MALLOC_ARENA_MAX=4 MALLOC_\w+=131072 MALLOC_\w+=131072 in the environment\)$/,
    )
  })
})

describe('a plan', () => {
  it('adds up to its limit, whatever the settings, and leaves what heaps need', () => {
    const random = new Random(7)
    for (let i = 0; i < 500; i++) {
      const one = (...values: number[]) => random.pick(values)
      const made = planMemory({
        ...REQUEST,
        limit_bytes: random.below(3000) * MIB,
        available: { bytes: one(1, 2, 8, 64) * GIB, of: random.oneIn(2) ? 'machine' : 'container' },
        partitions: one(1, 2, 4, 8, 16),
        builders: one(1, 2, 4),
        buildsParquet: random.oneIn(2),
        maxMessage_bytes: one(1, 4, 16, 64) * MIB,
        allocator: random.pick(['keeps', 'trims', 'tuned'] as const),
        ring_bytes: one(0, 0, 1, 4, 16) * MIB,
        ingress_bytes: one(0, 0, 1, 4, 16) * MIB,
        head_bytes: one(0, 0, 16, 100, 1000) * MIB,
      })
      if ('text' in made) continue
      expect(made.parts.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(made.limit_bytes)
      for (const { bytes } of made.parts) expect(bytes).toBeGreaterThan(0)
      const reserve = made.parts.find(({ name }) => name === 'reserve')!
      expect(reserve.bytes).toBeGreaterThanOrEqual(40 * MIB)
      expect(Math.log2(made.ring_bytes) % 1).toBe(0)
      expect(Math.log2(made.ingress_bytes) % 1).toBe(0)
      expect(made.queryJobs).toBeGreaterThanOrEqual(1)
    }
  })

  it('takes the longest request at any limit: rings that it can be split over, and room for its bytes', () => {
    for (const message of [1, 4, 16]) {
      const change = { maxMessage_bytes: message * MIB }
      const least = leastLimit_bytes({ ...REQUEST, ...change })
      const made = plan({ ...change, limit_bytes: least })
      // A record is at most a quarter of its ring, a request at most 32 records.
      expect((32 * made.ingress_bytes) / 4).toBeGreaterThan(message * MIB)
      expect(made.ring_bytes).toBeGreaterThanOrEqual(made.ingress_bytes)
      expect(made.inflight_bytes).toBeGreaterThanOrEqual(message * MIB)
    }
  })

  it('grows with its limit, and stays within what an arena can be', () => {
    let before = plan({ limit_bytes: leastLimit_bytes(REQUEST) })
    for (let mib = 512; mib <= 65_536; mib *= 2) {
      const made = plan({ limit_bytes: mib * MIB })
      expect(made.head_bytes).toBeGreaterThanOrEqual(before.head_bytes)
      expect(made.inflight_bytes).toBeGreaterThanOrEqual(before.inflight_bytes)
      expect(made.openBlocks_bytes).toBeGreaterThanOrEqual(before.openBlocks_bytes)
      before = made
    }
    expect(before.head_bytes).toBeLessThanOrEqual(1024 * MIB)
    expect(before.ring_bytes).toBe(16 * MIB)
  })

  it('takes smaller row groups for what is set by hand, before it is refused', () => {
    const { head_bytes, groupSpans } = plan({ head_bytes: 48 * MIB })
    expect([head_bytes, groupSpans]).toEqual([48 * MIB, 8192])
    for (let mib = 48; mib < 200; mib++) {
      const made = planMemory({ ...REQUEST, head_bytes: mib * MIB })
      if ('text' in made) expect(made.text).toMatch(/ the process needs \d+ MiB, \d+ MiB more;/)
    }
  })

  it('takes the room for ranges that were read over a network from open blocks, and nothing for those of a disk', () => {
    for (const limit_bytes of [512 * MIB, 4 * GIB]) {
      const [local, remote] = [false, true].map((readsRemotely) =>
        plan({ limit_bytes, readsRemotely }),
      )
      expect(local!.ranges_bytes).toBe(0)
      expect(remote!.ranges_bytes).toBeGreaterThanOrEqual(4 * MIB)
      expect(remote!.openBlocks_bytes + remote!.ranges_bytes).toBe(local!.openBlocks_bytes)
      expect({ ...remote, ranges_bytes: 0, openBlocks_bytes: 0 }).toEqual({
        ...local,
        ranges_bytes: 0,
        openBlocks_bytes: 0,
      })
    }
  })

  it('lets one heap grow by the whole reserve, and no further', () => {
    const { heaps, parts } = plan()
    const reserve = parts.find(({ name }) => name === 'reserve')!.bytes / MIB
    expect(heaps.write.old_mib).toBe(32 + reserve)
    expect(heaps.read.old_mib).toBeGreaterThan(heaps.write.old_mib)
  })

  it('refuses new work below the limit, and takes it again further below', () => {
    const { limit_bytes, refuseAbove_bytes, resumeBelow_bytes } = plan()
    expect(refuseAbove_bytes).toBeLessThan(limit_bytes)
    expect(resumeBelow_bytes).toBeLessThan(refuseAbove_bytes)
  })
})

describe('what is set by hand', () => {
  it('wins over what would be derived', () => {
    const made = plan({ head_bytes: 32 * MIB, ring_bytes: 8 * MIB, ingress_bytes: 2 * MIB })
    expect([made.head_bytes, made.ring_bytes, made.ingress_bytes]).toEqual([
      32 * MIB,
      8 * MIB,
      2 * MIB,
    ])
    expect(made.areHeadsSet).toBe(true)
  })

  it('is refused by its key when it does not fit, with how much is missing', () => {
    const { path, text } = problem({ head_bytes: 300 * MIB })
    expect(path).toBe('actors.head_bytes')
    const match =
      /^is 300 MiB and does not fit memory\.limit 512 MiB \(.*\): with it the process needs (\d+) MiB, (\d+) MiB more; make it smaller, leave it out, or set memory\.limit: (\d+)MiB$/.exec(
        text,
      )
    expect(match).not.toBeNull()
    expect(Number(match![1]) - Number(match![2])).toBe(512)
    plan({ head_bytes: 300 * MIB, limit_bytes: Number(match![3]) * MIB })
  })

  it('is blamed by its share: rings when they are what is too large', () => {
    expect(problem({ ring_bytes: 256 * MIB }).path).toBe('actors.bus.ring_bytes')
    expect(problem({ ingress_bytes: 256 * MIB, head_bytes: 70 * MIB }).path).toBe(
      'actors.bus.ingress_bytes',
    )
  })

  it('is not blamed when the limit is too little without it', () => {
    expect(problem({ limit_bytes: 200 * MIB, head_bytes: 64 * MIB }).path).toBe('memory.limit')
  })
})
