/**
 * Owns one damaged log: writes a segment, flips bytes of its file, opens it again and tells what was found. Ends as the program would.
 * Arguments: a folder, a seed.
 */
import console from 'node:console'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { createLog } from '../../../dist/lib/log.js'
import { Random } from '../../../dist/lib/random.js'
import { systemClock } from '../../../dist/lib/time.js'
import { Wal } from '../../../dist/storage/wal/wal.js'

const RECORDS = 60
const [, , path, first, count] = process.argv
const lines = []
const log = createLog({ level: 'info', write: (line) => lines.push(line) })
const blockId = '00000000-0000-4000-8000-000000000000'
const open = (folder) =>
  Wal.open({ path: join(path, folder), partition: 0, sync: 'committed', clock: systemClock, log })
const hash = (bytes) => createHash('sha1').update(bytes).digest('hex')

for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
  const random = new Random(seed)
  const written = new Map()
  const folder = `log-${seed}`
  const wal = await open(folder)
  let at = 0
  for (let i = 0; i < RECORDS; i++) {
    const bytes = random.fill(new Uint8Array(random.below(random.oneIn(10) ? 40_000 : 600)))
    const record = { tenant: `tenant-${i % 3}`, blockId, startOffset: at, endOffset: at + 8 + bytes.length, timestamp_ms: 1, bytes } // prettier-ignore
    written.set(record.startOffset, hash(bytes))
    at = record.endOffset
    await wal.append([record], at)
  }
  await wal.close()
  const file = join(path, folder, 'wal/p0/0000000001/data.mdb')
  const bytes = readFileSync(file)
  const flipped = random.below(bytes.length - 16)
  const length = random.pick([1, 4, 16])
  for (let i = 0; i < length; i++) bytes[flipped + i] ^= 1 + random.below(255)
  writeFileSync(file, bytes)
  lines.length = 0
  // Told before: a crash of the process leaves this as its last line.
  console.log(JSON.stringify({ seed, flipped, of: bytes.length }))
  const again = await open(folder)
  let found = 0
  let wrong = 0
  for (const segment of again.segments()) {
    for await (const records of again.replay(segment.seq)) {
      for (const record of records) {
        if (written.get(record.startOffset) === hash(record.bytes)) found++
        else wrong++
      }
    }
  }
  await again.close()
  const told = lines.some((line) => /damaged/.test(line))
  console.log(JSON.stringify({ seed, records: RECORDS, found, wrong, told }))
}
process.exit(0)
