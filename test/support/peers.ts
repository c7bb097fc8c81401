/** Owns finding the real programs that tests run against (scripts/peers.sh builds them) and what happens when one is missing. */
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'

export type Peer = 'minio' | 'telemetrygen' | 'k6'

/** In CI a missing peer must not look like a passed test: there this variable is 1. */
const REQUIRED = process.env.TEMPO_ACTORS_REQUIRE_PEERS === '1'

/** The program's path; undefined, or an error where peers are required, when it is not built. */
export function peerPath(name: Peer): string | undefined {
  const cache = process.env.TEMPO_ACTORS_CACHE ?? join(homedir(), '.cache/tempo-actors')
  const path = join(cache, 'peers', name)
  if (existsSync(path)) return path
  const text = `${name} is not built: run scripts/peers.sh ${name} (looked for ${path})`
  if (REQUIRED) throw new Error(`${text}; TEMPO_ACTORS_REQUIRE_PEERS=1 asks for it`)
  return undefined
}

/** The title of a suite, which says why it is skipped where it is. */
export function peerTitle(title: string, name: Peer): string {
  if (peerPath(name)) return title
  return `${title} (skipped: ${name} is not built, run scripts/peers.sh ${name})`
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
