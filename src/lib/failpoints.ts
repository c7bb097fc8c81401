/**
 * Owns the named points of the code at which a test ends the process as `kill -9` would, to see what a crash exactly there leaves behind.
 *
 * Armed by the environment, and only where `actors.chaos` is true (cli/serve.ts takes the variables away elsewhere, before a thread is
 * made): `TEMPO_ACTORS_FAILPOINT=wal.commit.after:3` kills at the third time that a thread comes by. `TEMPO_ACTORS_FAILPOINT_TRACE=<file>`
 * writes a line at each point instead, so that a recording of system calls knows where the program was.
 * Not armed, a point costs one comparison.
 */
import { openSync, writeSync } from 'node:fs'

/** Every point, in the order of a span's way; "before" and "after" are those of the step on disk or in the backend. */
export const FAILPOINTS = [
  // One transaction of a segment: records and offset.
  'wal.commit.before',
  'wal.commit.after',
  // A slice is cut: its segment is closed, the next begun, the heads handed to the builders.
  'cut.before',
  'wal.rotate.closed',
  'wal.segment.created',
  'wal.rotate.begun',
  'cut.after',
  // The block's files in a draft folder, which then takes its name.
  'block.write.before',
  'block.meta.before',
  'block.meta.after',
  'block.rename.after',
  // The block is noted in the livestore's state, then listed.
  'block.note.before',
  'block.note.after',
  // The segment's folder is renamed, then deleted.
  'wal.drop.before',
  'wal.drop.renamed',
  'wal.drop.after',
  // Into the backend: data, the flag that holds compaction off, meta.json.
  'upload.before',
  'upload.data.after',
  'upload.meta.before',
  'upload.meta.after',
  'flush.note.before',
  'flush.note.after',
  // The local copy goes: its folder is renamed and deleted, the flag in the backend too, then its note.
  'local.delete.before',
  'local.delete.renamed',
  'local.delete.after',
  'backend.flag.deleted',
  'local.forget.after',
  // Blocks are merged: data of the merged block, then its meta.json, from which on it counts.
  'compact.data.before',
  'compact.data.after',
  'compact.meta.before',
  'compact.meta.after',
  // Each input is marked: meta.compacted.json is put, meta.json deleted.
  'compact.mark.before',
  'compact.mark.put',
  'compact.mark.after',
  // A marked block goes when its time is up: its data, then the mark.
  'clear.before',
  'clear.data.after',
  'clear.after',
] as const

export type Failpoint = (typeof FAILPOINTS)[number]

const KILL = 'TEMPO_ACTORS_FAILPOINT'
const TRACE = 'TEMPO_ACTORS_FAILPOINT_TRACE'

let target: string | undefined
let hitsLeft = 0
let traceFd: number | undefined
let isArmed = arm()

/** Where the code stands. `detail` is for the trace. */
export function failpoint(name: Failpoint, detail?: string | number): void {
  if (isArmed) reached(name, detail)
}

/** Nothing is armed in this thread, nor in any that it starts from now on. */
export function disarmFailpoints(): void {
  Reflect.deleteProperty(process.env, KILL)
  Reflect.deleteProperty(process.env, TRACE)
  isArmed = false
}

function arm(): boolean {
  const [name, hits = '1'] = (process.env[KILL] ?? '').split(':')
  const trace = process.env[TRACE]
  if (trace !== undefined) traceFd = openSync(trace, 'a')
  if (name === '' || name === undefined) return trace !== undefined
  target = name
  hitsLeft = Number(hits)
  return true
}

function reached(name: Failpoint, detail: string | number | undefined): void {
  if (traceFd !== undefined) writeSync(traceFd, `${name} ${detail ?? ''}\n`)
  // The signal is taken on the way back from the system call: this thread runs no further line.
  if (name === target && --hitsLeft === 0) process.kill(process.pid, 'SIGKILL')
}
