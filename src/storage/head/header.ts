/** Owns the constant part of a head's header chunk: whose head it is. */
import { assert } from '../../lib/assert.js'
import { fromHex, toHex } from '../../lib/bytes.js'
import type { HeadArena } from './arena.js'
import { CHUNK_SHIFT, CHUNK_WORDS, HEAD, TENANT_BYTES_MAX, WORD_SHIFT } from './layout.js'

export interface HeadFacts {
  /** UUID that the head's block will have. */
  readonly blockId: string
  readonly tenant: string
  /** The partition whose owner writes the head. */
  readonly partition: number
}

/** Clears a header chunk and writes whose head it is. */
export function initialiseHeader(arena: HeadArena, headerChunk: number, facts: HeadFacts): void {
  const id = fromHex(facts.blockId.replaceAll('-', ''))
  assert(id?.length === 16, `not a UUID: ${facts.blockId}`)
  const tenant = Buffer.from(facts.tenant, 'utf8')
  assert(
    tenant.length <= TENANT_BYTES_MAX,
    `tenant id of ${tenant.length} bytes, at most ${TENANT_BYTES_MAX}`,
  )
  const word = headerChunk << WORD_SHIFT
  const byte = headerChunk << CHUNK_SHIFT
  arena.words.fill(0, word, word + CHUNK_WORDS)
  arena.words[word + HEAD.partition] = facts.partition
  arena.bytes.set(id, byte + HEAD.blockId * 4)
  arena.words[word + HEAD.tenantLength] = tenant.length
  arena.bytes.set(tenant, byte + HEAD.tenant * 4)
}

export function readHeader(arena: HeadArena, headerChunk: number): HeadFacts {
  const word = headerChunk << WORD_SHIFT
  const byte = headerChunk << CHUNK_SHIFT
  const id = byte + HEAD.blockId * 4
  const hex = toHex(arena.bytes.slice(id, id + 16))
  const tenant = byte + HEAD.tenant * 4
  const tenantLength = arena.words[word + HEAD.tenantLength]!
  return {
    blockId: `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`,
    tenant: Buffer.from(arena.bytes.slice(tenant, tenant + tenantLength)).toString('utf8'),
    partition: arena.words[word + HEAD.partition]!,
  }
}
