/** Owns the thread that dies: it lives (life.js) until its seeded moment comes, then dies in the way it was told. */
import process from 'node:process'
import { setImmediate } from 'node:timers'
import { parentPort, workerData } from 'node:worker_threads'
import { Life, seeded } from './life.js'

const { how, seed, shared } = workerData
const view = new BigInt64Array(shared)
const words = {
  get: (i) => Atomics.load(view, i),
  set: (i, value) => Atomics.store(view, i, BigInt(value)),
  add: (i, value) => Atomics.add(view, i, BigInt(value)),
}
const random = seeded(seed ^ 0x5bd1e995)
const leaked = []
let isStopping = false
parentPort.on('message', () => (isStopping = true))

const dieAt = Math.floor(random() * 25)
const variant = Math.floor(random() * 3)
let turn = 0

function leakUntilDeath() {
  for (;;) leaked.push(Array.from({ length: 1000 }, (_, i) => ({ i, text: `leak ${i}` })))
}

function leakABit() {
  for (let i = 0; i < 40; i++)
    leaked.push(Array.from({ length: 1000 }, () => ({ turn, text: `leak ${i}` })))
}

/** Asked after every append, so that each way of dying meets writes in flight; true ends the work in order. */
const ways = {
  throw() {
    if (turn < dieAt) return false
    if (variant === 0) throw new Error('death: thrown by the loop')
    if (variant === 1)
      setImmediate(() => {
        throw new Error('death: thrown by a callback')
      })
    if (variant === 2)
      void life.pending.then(() => {
        throw new Error('death: unhandled rejection after a commit')
      })
    return false
  },
  hang() {
    if (turn < dieAt) return false
    parentPort.postMessage('hanging')
    for (;;);
  },
  oom() {
    if (turn < dieAt) return false
    if (variant === 0) leakUntilDeath()
    leakABit()
    return false
  },
  stop: () => isStopping,
  // Not a way of dying in the design, which stops a busy thread by message: kept to know what it does.
  terminate: () => false,
}

const life = new Life({ ...workerData, words })
await life.open()
parentPort.postMessage({ opened_ms: life.opened_ms })
await life.verify()
parentPort.postMessage('verified')
await life.work(() => {
  turn++
  return ways[how]()
})
await life.stop()
if (variant === 0) process.exit(0)
parentPort.close()
