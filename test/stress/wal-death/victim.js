/** Owns the process that is killed: one life on its main thread; what was acknowledged it writes to a file, which outlives a SIGKILL. */
import { openSync, readSync, writeSync } from 'node:fs'
import process from 'node:process'
import { Life } from './life.js'

const options = JSON.parse(process.argv[2])
const fd = openSync(options.wordsFile, 'r+')
const word = new BigInt64Array(1)
const words = {
  get(i) {
    readSync(fd, new Uint8Array(word.buffer), 0, 8, 8 * i)
    return word[0]
  },
  set(i, value) {
    word[0] = BigInt(value)
    writeSync(fd, new Uint8Array(word.buffer), 0, 8, 8 * i)
  },
  add(i, value) {
    this.set(i, this.get(i) + BigInt(value))
  },
}

let isStopping = false
process.on('message', () => (isStopping = true))
const life = new Life({ ...options, words })
await life.open()
process.send({ opened_ms: life.opened_ms })
await life.verify()
process.send('verified')
await life.work(() => isStopping)
await life.stop()
process.exit(0)
