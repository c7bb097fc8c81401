/** Owns the bench's rows about blocks: each encoding in a process of its own, and a real Tempo's blocks of the same spans beside them. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../lib/time.js'
import type { BlocksOptions } from './block-measures.js'
import type { EncodingFigures } from './block-process.js'
import { measureTempoBlocks, type TempoBlockFigures } from './tempo-block.js'

const PROCESS = fileURLToPath(new URL('./block-process.js', import.meta.url))
const ENCODINGS = ['blockpack', 'vParquet5', 'vParquet4'] as const
/** So many fill ten row groups; more only take longer. */
const TRACES_MAX = 20_000
const TRACES_PER_WIDE_TRACE = 4

export interface BlocksResult {
  readonly name: 'blocks'
  readonly encodings: readonly EncodingFigures[]
  readonly tempo?: TempoBlockFigures
}

export async function measureBlocks(
  traces: number,
  tempo: { path: string; version: string } | undefined,
  say: (text: string) => void,
): Promise<BlocksResult> {
  const shopTraces = Math.min(traces, TRACES_MAX)
  const data = {
    traces: shopTraces,
    wideTraces: Math.ceil(shopTraces / TRACES_PER_WIDE_TRACE),
    now_ms: systemClock.now(),
  }
  // Tempo takes spans of now only: it is the first to get them.
  let beside: TempoBlockFigures | undefined
  if (tempo) {
    say(`blocks: ${shopTraces} traces to Tempo ...`)
    try {
      beside = await measureTempoBlocks(tempo.path, tempo.version, data)
    } catch (error) {
      say(`  Tempo could not be measured: ${error instanceof Error ? error.message : String(error)}`) // prettier-ignore
      process.exitCode = 1
    }
  }
  const encodings: EncodingFigures[] = []
  for (const encoding of ENCODINGS) {
    say(`blocks: ${shopTraces} traces as ${encoding} ...`)
    encodings.push(await inProcess({ ...data, encoding }))
  }
  return { name: 'blocks', encodings, ...(beside && { tempo: beside }) }
}

async function inProcess(options: Omit<BlocksOptions, 'folder'>): Promise<EncodingFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'tempo-actors-bench-blocks-'))
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [PROCESS, JSON.stringify({ ...options, folder })], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      child.stdout.on('data', (text: Buffer) => (output += text.toString()))
      child.once('error', reject)
      child.once('close', (code) => {
        if (code === 0) resolve(JSON.parse(output) as EncodingFigures)
        else reject(new Error(`the process that measures ${options.encoding} ended with ${code}`))
      })
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
