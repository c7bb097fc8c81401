/** A process that claims a data folder each time it is told to, says whether it has it, and is killed while it has. */
import process from 'node:process'
import { createInterface } from 'node:readline'
import { claimFolder } from '../../../dist/cli/folder-lock.js'
import { createLog } from '../../../dist/lib/log.js'

const log = createLog({ level: 'error' })
process.stdout.write('ready\n')
createInterface({ input: process.stdin }).on('line', (folder) => {
  claimFolder(folder, log).then(
    () => process.stdout.write('owner\n'),
    (error) => process.stdout.write(`refused ${error.message}\n`),
  )
})
