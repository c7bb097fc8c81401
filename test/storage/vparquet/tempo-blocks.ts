/** Owns the blocks that Tempo wrote, as test/fixtures/tempo-blocks has them: in a backend, with their meta. */
import { readFileSync, readdirSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { BlockMeta } from '../../../src/storage/block/encoding.js'
import { parseMeta } from '../../../src/storage/block/meta.js'
import { decodeTraces, lengthDelimited } from '../../support/otlp-objects.js'
import type { ResourceSpansObject } from '../../support/otlp-objects.js'
import { MemoryBackend } from '../../support/memory-backend.js'

const FIXTURES = new URL('../../fixtures/', import.meta.url)

export interface TempoBlock {
  readonly meta: BlockMeta
  readonly backend: MemoryBackend
  readonly data: Uint8Array
  /** Paths of its objects begin with this. */
  readonly folder: string
}

export function tempoBlock(name: string): TempoBlock {
  const folder = new URL(`tempo-blocks/${name}/`, FIXTURES)
  const objects = readdirSync(folder).map((file) => {
    const bytes = readFileSync(new URL(file, folder))
    return file.endsWith('.gz') ? ([file.slice(0, -3), gunzipSync(bytes)] as const) : ([file, bytes] as const)
  })
  const json = objects.find(([file]) => file === 'meta.json')![1]
  const { blockID } = JSON.parse(json.toString()) as BlockMeta
  const meta = parseMeta(json, blockID)
  const backend = new MemoryBackend()
  const path = `${meta.tenantID}/${blockID}`
  for (const [file, bytes] of objects) backend.objects.set(`${path}/${file}`, new Uint8Array(bytes))
  return { meta, backend, data: backend.objects.get(`${path}/data.parquet`)!, folder: path }
} // prettier-ignore

/** The requests of edge.bin. */
export const edgeRequests = (): Uint8Array[] => [
  ...lengthDelimited(readFileSync(new URL('edge.bin', FIXTURES))),
]

/**
 * What Tempo keeps of what was sent: no schema URLs, no flags, and spans that were sent twice once (they were combined before
 * the block was written).
 */
export function keptByTempo(requests: readonly Uint8Array[]): ResourceSpansObject[] {
  return requests.flatMap((bytes) => decodeTraces(bytes)).map((rs) => ({
    ...(rs.resource && { resource: rs.resource }),
    scopes: rs.scopes.map((ss) => ({
      ...(ss.scope && { scope: ss.scope }),
      spans: ss.spans.map(({ flags: _, links, ...span }) => ({
        ...span,
        ...(links && { links: links.map(({ flags: __, ...link }) => link) }),
      })),
    })),
  }))
} // prettier-ignore
