/** Owns what must hold whenever the disk changes: nothing is deleted before it is safe elsewhere, and offsets only grow. */
import { localBlocksPath } from '../../src/actors/livestore/paths.js'
import type { Config } from '../../src/config.js'
import type { BlockState } from '../../src/storage/wal/state.js'
import { decodeProgress, decodeTenant, PROGRESS_KEY } from '../../src/storage/wal/keys.js'
import { deadLetterBytesKey } from '../../src/storage/wal/dead-letters.js'
import { bucket } from './bucket.js'
import { disk } from './disk.js'
import { ledger } from './ledger.js'
import { namesInRequest } from './span-names.js'
import { world } from './world.js'

export const SEGMENT = /^\/store\/wal\/p(\d+)\/\d{10}$/
const STATE = /^\/store\/state\/p\d+$/
const LOCAL_BLOCK = /^\/store\/blocks\/p\d+\/([^/]+)\/([0-9a-f-]{36})$/
const PROGRESS = Buffer.from(PROGRESS_KEY).toString('latin1')
const TENANT = String.fromCharCode(3)
/** What follows the key of a letter's bytes; their first byte says what they are. */
const LETTER = String.fromCharCode(deadLetterBytesKey('')[0]!)
const BLOCK = String.fromCharCode(2)

export function watchDisk(config: Config): void {
  const applied = new Map<string, number>()

  disk.onCommit = (path, writes) => {
    const partition = SEGMENT.exec(path)?.[1]
    const progress = writes.get(PROGRESS)
    if (partition !== undefined && progress) {
      const offset = decodeProgress(progress)!.appliedOffset
      const before = applied.get(partition) ?? 0
      const text = () => `WAL of partition ${partition} from ${before} to ${offset}`
      world.check(offset >= before, 'offsets never go back', text)
      applied.set(partition, offset)
      ledger.noteApplied(Number(partition), offset)
    }
    if (!STATE.test(path)) return
    for (const [key, value] of writes)
      if (key.startsWith(LETTER) && value) ledger.notePutAside(namesInRequest(value))
    for (const [key, value] of writes) checkState(key, value)
  }

  disk.onGone = (path) => {
    const partition = SEGMENT.exec(path)?.[1]
    if (partition !== undefined) checkSegment(path, localBlocksPath(config.live_store.wal_path, Number(partition))) // prettier-ignore
    const [, tenant, blockId] = LOCAL_BLOCK.exec(path) ?? []
    if (tenant !== undefined && blockId !== undefined && disk.files.has(`${path}/meta.json`)) {
      const text = () => `${path} is deleted, and the bucket has no such block`
      world.check(bucket.hasBlock(tenant, blockId), 'nothing unflushed is deleted', text)
    }
  }
}

/** "Flushed" is said only of what the bucket has. */
function checkState(key: string, value: Uint8Array | undefined): void {
  if (!key.startsWith(BLOCK) || !value) return
  const block = JSON.parse(Buffer.from(value).toString()) as BlockState
  if (block.state !== 'flushed') return
  const text = () => `${block.blockId} is noted as flushed, and the bucket has no such block`
  world.check(bucket.hasBlock(block.tenant, block.blockId), 'flushed = in the bucket', text)
}

/** A segment goes once each of its blocks is complete. */
function checkSegment(path: string, blocks: string): void {
  const tree = disk.trees.get(path)
  if (!tree) return
  for (const [key, value] of tree) {
    if (!key.startsWith(TENANT)) continue
    const { tenant, blockId } = decodeTenant(value)
    const isSafe =
      disk.files.has(`${blocks}/${tenant}/${blockId}/meta.json`) || bucket.hasBlock(tenant, blockId)
    const text = () => `segment ${path} is dropped before block ${blockId} of ${tenant} is complete`
    world.check(isSafe, 'nothing unflushed is deleted', text)
  }
}
