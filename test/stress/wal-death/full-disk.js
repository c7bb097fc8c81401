/**
 * Owns filling a disk: appends until the log holds its commits back, makes room, and sees that they go on and that all is there.
 * Argument: a folder on a small file system of its own.
 */
import console from 'node:console'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout } from 'node:timers/promises'
import { createLog } from '../../../dist/lib/log.js'
import { systemClock } from '../../../dist/lib/time.js'
import { Wal } from '../../../dist/storage/wal/wal.js'
import { recordAt } from './life.js'

const BALLAST_BYTES = 8 << 20
const path = process.argv[2]
const blockOf = () => '00000000-0000-4000-8000-000000000000'
const log = createLog({ level: 'error' })
const open = (folder) =>
  Wal.open({ path: join(path, folder), partition: 0, sync: 'committed', clock: systemClock, log })

const ballast = join(path, 'ballast')
writeFileSync(ballast, new Uint8Array(BALLAST_BYTES))
const wal = await open('a')
let acknowledged = 0
let asked = 0
const appends = []
while (!wal.isDiskFull) {
  const record = recordAt(asked, blockOf)
  asked = record.endOffset
  appends.push(wal.append([record], asked).then(() => (acknowledged = record.endOffset)))
  await setTimeout(1)
}
await setTimeout(1000)
const held = { asked, acknowledged, applied: wal.appliedOffset }
rmSync(ballast)
await Promise.all(appends)
let replayed = 0
for await (const records of wal.replay(1)) replayed = records.at(-1).endOffset
await wal.close()

const { bavail, bsize } = statfsSync(path)
writeFileSync(ballast, new Uint8Array(bavail * bsize - 20_000))
const refusal = await open('b').then(
  () => 'none',
  (error) => `${error.code}: ${error.message}`,
)
console.log(JSON.stringify({ held, acknowledged, replayed, refusal }))
process.exit(0)
