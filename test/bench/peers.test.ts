import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findTempo, tempoPlace } from '../../src/bench/peers.js'

describe('the Tempo to measure beside', () => {
  let home: string
  beforeEach(() => (home = mkdtempSync(join(tmpdir(), 'bench-peers-'))))
  afterEach(() => rmSync(home, { recursive: true }))

  it('is the one that TEMPO_BIN names, before any cache', () => {
    const env = { TEMPO_BIN: '/opt/tempo', TEMPO_ACTORS_CACHE: '/cache' }
    expect(tempoPlace(env, home)).toBe('/opt/tempo')
  })

  it('is in the cache folder that the environment names, else below the home folder', () => {
    expect(tempoPlace({ TEMPO_ACTORS_CACHE: '/cache' }, home)).toBe('/cache/peers/tempo')
    expect(tempoPlace({}, home)).toBe(join(home, '.cache/tempo-actors/peers/tempo'))
  })

  it('is not taken for there when its file is not: the sentence names the place', () => {
    const place = join(home, '.cache/tempo-actors/peers/tempo')
    const found = findTempo({}, home)
    expect(found).toEqual({ whyMissing: expect.stringContaining(place) as string })
    mkdirSync(join(home, '.cache/tempo-actors/peers'), { recursive: true })
    writeFileSync(place, '')
    expect(findTempo({}, home)).toEqual({ path: place })
  })
})
