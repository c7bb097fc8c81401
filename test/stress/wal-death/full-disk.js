/** Owns filling a disk: appends until the log refuses, opens it again with room to spare, and tells what each found. Argument: a folder. */
import console from 'node:console'
import process from 'node:process'
import { createLog } from '../../../dist/lib/log.js'
import { systemClock } from '../../../dist/lib/time.js'
import { Wal } from '../../../dist/storage/wal/wal.js'
import { recordAt } from './life.js'

const [path, act] = process.argv.slice(2)
const blockOf = () => '00000000-0000-4000-8000-000000000000'
const options = {
  path,
  partition: 0,
  sync: 'committed',
  clock: systemClock,
  log: createLog({ level: 'error' }),
}

let acknowledged = 0
let refusal
try {
  const wal = await Wal.open(options)
  acknowledged = wal.appliedOffset
  for (let at = wal.appliedOffset; act === 'fill';) {
    const record = recordAt(at, blockOf)
    await wal.append([record], record.endOffset)
    acknowledged = at = record.endOffset
  }
  let at = 0
  for await (const records of wal.replay(1)) for (const record of records) at = record.endOffset
  if (at !== acknowledged) throw new Error(`replay ends at ${at}, ${acknowledged} was acknowledged`)
} catch (error) {
  refusal = { code: error.code, text: error.message }
}
console.log(JSON.stringify({ acknowledged, refusal }))
process.exit(0)
