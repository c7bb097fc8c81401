/** Owns the looks at ports and folders before an actor starts: what is wrong there is told in one sentence, not by a series of restarts. */
import { createServer, type Server } from 'node:net'
import type { Config } from '../config.js'
import { listenOn } from '../actors/receiver/listen.js'
import { errorText } from '../lib/log.js'

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
  ENOENT: 'the path cannot be made',
}

/** Runs what opens the write-ahead log; a failure of the file system names the setting. */
export async function withWalFolder<T>(path: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    const why = WORDS[code] ?? errorText(error)
    throw new Error(`live_store.wal.path (${path}) cannot be used: ${why}`, { cause: error })
  }
}
