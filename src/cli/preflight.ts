/** Owns the looks at ports and folders before an actor starts: what is wrong there is told in one sentence, not by a series of restarts. */
import { existsSync, readdirSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { Config } from '../config.js'
import { listenOn } from '../actors/receiver/listen.js'
import { errorText, type Log } from '../lib/log.js'
import type { Clock } from '../lib/time.js'
import { WalCorrupt, WalFailed } from '../storage/wal/errors.js'
import type { WalSync } from '../storage/wal/segment.js'
import { LivestoreState } from '../storage/wal/state.js'
import { Wal } from '../storage/wal/wal.js'

/** Opens every listening socket of the configuration and closes them again. Rejects with the key of the one that cannot be had. */
export async function checkPorts({ server, distributor }: Config): Promise<void> {
  const { grpc, http } = distributor.receivers.otlp
  const protocols = 'distributor.receivers.otlp.protocols'
  const { http_listen_address: address, http_listen_port: port } = server
  const host = address.includes(':') ? `[${address}]` : address
  const opened: Server[] = []
  const tryOut = async (endpoint: string, key: string) => {
    const probe = createServer()
    await listenOn(probe, endpoint, key)
    opened.push(probe)
  }
  try {
    await tryOut(`${host}:${port}`, 'server.http_listen_port')
    if (grpc) await tryOut(grpc.endpoint, `${protocols}.grpc.endpoint`)
    if (http) await tryOut(http.endpoint, `${protocols}.http.endpoint`)
  } finally {
    await Promise.all(opened.map((probe) => new Promise((resolve) => probe.close(resolve))))
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOTDIR: 'a file is in the way of a folder',
  EEXIST: 'a file is in the way of a folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the filesystem is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: "the user's share of the disk is full",
  EIO: 'the disk cannot be read or written (I/O error)',
  EMFILE: 'too many files are open: raise the limit (ulimit -n)',
  ENOENT: 'the folder above it is missing, and cannot be made',
}

/** Runs what opens the write-ahead log; a failure of the file system names the setting. */
export async function withWalFolder<T>(path: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    throw new Error(`live_store.wal.path (${path}) cannot be used: ${whyNot(error)}`, {
      cause: error,
    })
  }
}

/** A log that does not open has nothing to say of acknowledged spans: only its reason is told. */
function whyNot(error: unknown): string {
  const text = error instanceof WalFailed ? error.reason : errorText(error)
  const { code = '' } = error as NodeJS.ErrnoException
  return WORDS[code] ?? WORDS[/\bE[A-Z]+(?=: )/.exec(text)?.[0] ?? ''] ?? text
}

/**
 * Fewer partitions than at the last start: rejects while one that would be left out holds what the backend has not got,
 * since nobody would find or flush that.
 */
export async function checkPartitions(
  path: string,
  partitions: number,
  options: { sync: WalSync; clock: Clock; log: Log },
): Promise<void> {
  for (const partition of knownPartitions(path).filter((number) => number >= partitions)) {
    const wal = await withWalFolder(path, () => Wal.open({ ...options, path, partition }))
    const state = await openState(path, partition, options)
    const records = wal.segments().reduce((sum, segment) => sum + segment.recordCount, 0)
    const blocks = state.blocks().filter((block) => block.state !== 'flushed').length
    await state.close()
    await wal.close()
    if (records === 0 && blocks === 0) continue
    throw new Error(
      `actors.bus.partitions is ${partitions}, but partition ${partition} in live_store.wal.path (${path}) holds ` +
        `${records} WAL records and ${blocks} blocks that are not in the backend yet: ` +
        `start with ${partition + 1} partitions and send nothing until all is flushed, then stop and start with ${partitions}`,
    )
  }
}

/** A damaged state would keep a livestore from starting, again and again: it is told here, with what to do. */
export async function checkStates(
  path: string,
  partitions: number,
  options: { clock: Clock; log: Log },
): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    await (await openState(path, partition, options)).close()
  }
}

function openState(
  path: string,
  partition: number,
  options: { clock: Clock; log: Log },
): Promise<LivestoreState> {
  return withWalFolder(path, async () => {
    try {
      return await LivestoreState.open({ ...options, path, partition })
    } catch (error) {
      if (!(error instanceof WalCorrupt)) throw error
      throw new Error(
        `${error.message}; move ${error.path} away and start again: the blocks it listed are found on disk, and flushed again`,
        { cause: error },
      )
    }
  })
}

function knownPartitions(path: string): number[] {
  const names = ['wal', 'state'].flatMap((name) => {
    const folder = join(path, name)
    return existsSync(folder) ? readdirSync(folder) : []
  })
  const numbers = names.flatMap((name) => /^p(\d{1,3})$/.exec(name)?.[1] ?? []).map(Number)
  return [...new Set(numbers)].sort((a, b) => a - b)
}
