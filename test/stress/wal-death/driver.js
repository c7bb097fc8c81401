/**
 * Owns a series of deaths of one kind: starts a thread (or, for `kill`, a process), lets it die, and starts its replacement on the same
 * log, which checks everything. Run as a process of its own, so that an abort is seen as its exit.
 * Argument: JSON {how, rounds, seed, path, sync}; prints one line of JSON.
 */
import { fork } from 'node:child_process'
import console from 'node:console'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import { clearTimeout, setTimeout } from 'node:timers'
import { URL, fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Word, seeded } from './life.js'

const EXIT_TIMEOUT_MS = 30_000
const WORDS = 8
/** The longest a life goes on after it has checked what it found. */
const LONGEST_LIFE_MS = 40

const { how, rounds, seed, path, sync } = JSON.parse(process.argv[2])
const random = seeded(seed)
const shared = new SharedArrayBuffer(8 * WORDS)
const wordsFile = join(path, 'words')
const ready_ms = []
const opened_ms = []
const exits = {}
let withWritesInFlight = 0
let defect

rmSync(path, { recursive: true, force: true })
mkdirSync(path, { recursive: true })
writeFileSync(wordsFile, new Uint8Array(8 * WORDS))
// The last life ends in order: it checks what the death before it has left.
for (let round = 0; round <= rounds && !defect; round++) {
  const kind = round === rounds ? 'stop' : how
  const end = await live(kind, round, how === 'kill' ? startProcess : startThread)
  exits[end] = (exits[end] ?? 0) + 1
}
report()
rmSync(path, { recursive: true, force: true })
process.exit(defect ? 1 : 0)

function startThread(kind) {
  const limits = { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4 }
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    workerData: { how: kind, path, sync, seed: Math.floor(random() * 2 ** 31), shared },
    stderr: true,
    ...(kind === 'oom' && { resourceLimits: limits }),
  })
  worker.stderr.resume()
  const end = () => void worker.terminate()
  return { it: worker, say: (message) => worker.postMessage(message), end }
}

function startProcess() {
  const options = { path, sync, wordsFile, seed: Math.floor(random() * 2 ** 31) }
  const child = fork(fileURLToPath(new URL('./victim.js', import.meta.url)), [
    JSON.stringify(options),
  ])
  return { it: child, say: (message) => child.send(message), end: () => child.kill('SIGKILL') }
}

function word(i) {
  if (how === 'kill') return Number(readFileSync(wordsFile).readBigInt64LE(8 * i))
  return Number(Atomics.load(new BigInt64Array(shared), i))
}

function live(kind, round, start) {
  return new Promise((resolve) => {
    const born = performance.now()
    const { it, say, end } = start(kind)
    let reason = 'exit'
    let isVerified = false
    const fail = (text) => {
      defect ??= `round ${round}: ${text}`
      clearTimeout(timer)
      resolve('defect')
    }
    const timer = setTimeout(() => fail(`no exit within ${EXIT_TIMEOUT_MS} ms`), EXIT_TIMEOUT_MS)
    const later = (act) => setTimeout(act, random() * LONGEST_LIFE_MS)
    it.on('message', (message) => {
      if (message.opened_ms !== undefined) {
        opened_ms.push(message.opened_ms)
        ready_ms.push(performance.now() - born)
      }
      if (message === 'hanging') setTimeout(end, random() * 5)
      if (message !== 'verified') return
      isVerified = true
      if (kind === 'stop') later(() => say('stop'))
      if (kind === 'terminate' || kind === 'kill') later(end)
    })
    it.on('error', (error) => {
      reason = error.code ?? (error.message.startsWith('death') ? 'thrown' : error.message)
      if (error.message.startsWith('DEFECT')) fail(error.stack)
    })
    it.on('exit', (code, signal) => {
      clearTimeout(timer)
      // A heap limit strikes where it will, also while a replacement still checks.
      if (!isVerified && reason !== 'ERR_WORKER_OUT_OF_MEMORY')
        fail(`died too early: ${reason} ${code ?? signal}`)
      if (word(Word.inFlight) > 0) withWritesInFlight++
      Atomics.store(new BigInt64Array(shared), Word.inFlight, 0n)
      resolve(`${reason} ${code ?? signal}`)
    })
  })
}

/** Median, 99th percentile and maximum. */
function spread(times_ms) {
  times_ms.sort((a, b) => a - b)
  const at = (q) =>
    Math.round(times_ms[Math.min(times_ms.length - 1, Math.floor(q * times_ms.length))] ?? 0)
  return { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) }
}

function report() {
  const counts = {
    appends: word(Word.appends),
    MB: Math.round(word(Word.bytes) / 1e6),
    replayed: word(Word.records),
    rotations: word(Word.rotations),
    drops: word(Word.drops),
    stateChanges: word(Word.notes),
  }
  const times = { open: spread(opened_ms), ready: spread(ready_ms), load: Math.round(loadavg()[0]) }
  const outcome = { how, sync, rounds, defect, exits, withWritesInFlight }
  console.log(JSON.stringify({ ...outcome, ...times, ...counts }))
}
