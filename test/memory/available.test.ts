import { describe, expect, it } from 'vitest'
import { availableMemory } from '../../src/memory/available.js'

const GIB = 2 ** 30
const MACHINE = 64 * GIB
const V1_NO_LIMIT = '9223372036854771712\n'

function within(files: Record<string, string>) {
  return availableMemory((path) => files[path], MACHINE)
}

describe('the memory that is there', () => {
  it('is the machine when no control group limits it, or there are none', () => {
    expect(within({})).toEqual({ bytes: MACHINE, of: 'machine' })
    expect(within({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': 'max\n' })).toEqual(
      { bytes: MACHINE, of: 'machine' },
    )
    expect(
      within({
        '/proc/self/cgroup': '4:memory:/\n',
        '/sys/fs/cgroup/memory/memory.limit_in_bytes': V1_NO_LIMIT,
      }),
    ).toEqual({ bytes: MACHINE, of: 'machine' })
  })

  it('is the container, which sees its group as the root (version 2)', () => {
    const files = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/memory.max': '402653184\n' }
    expect(within(files)).toEqual({ bytes: 402653184, of: 'container' })
  })

  it('is the smallest limit on the way up, also where an outer group is stricter', () => {
    const files = {
      '/proc/self/cgroup': '0::/system.slice/tempo.service\n',
      '/sys/fs/cgroup/system.slice/tempo.service/memory.max': `${2 * GIB}\n`,
      '/sys/fs/cgroup/system.slice/memory.max': `${GIB}\n`,
    }
    expect(within(files).bytes).toBe(GIB)
  })

  it('heeds memory.high, above which the kernel slows a group down', () => {
    const files = {
      '/proc/self/cgroup': '0::/a\n',
      '/sys/fs/cgroup/a/memory.max': `${2 * GIB}\n`,
      '/sys/fs/cgroup/a/memory.high': `${GIB}\n`,
    }
    expect(within(files).bytes).toBe(GIB)
  })

  it('is the memory group of version 1, also when it is mounted beside version 2', () => {
    const files = {
      '/proc/self/cgroup': '9:cpu,cpuacct:/\n4:memory:/docker/abc\n0::/\n',
      '/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes': `${GIB / 2}\n`,
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': V1_NO_LIMIT,
    }
    expect(within(files)).toEqual({ bytes: GIB / 2, of: 'container' })
  })

  it('finds a version 1 container that sees only its own group, at the root', () => {
    const files = {
      '/proc/self/cgroup': '4:memory:/docker/abc\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${GIB}\n`,
    }
    expect(within(files).bytes).toBe(GIB)
  })

  it('is not misled by a group path that climbs out of the view, or by what is no number', () => {
    const files = {
      '/proc/self/cgroup': '0::/../../other\nnonsense\n::\n',
      '/sys/fs/cgroup/memory.max': 'lots\n',
      '/sys/fs/cgroup/memory.high': '0\n',
    }
    expect(within(files)).toEqual({ bytes: MACHINE, of: 'machine' })
  })

  it('can be read on this machine', () => {
    const { bytes } = availableMemory()
    expect(bytes).toBeGreaterThan(2 ** 26)
  })
})
