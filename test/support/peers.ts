/** Owns finding the real programs that tests run against (scripts/peers.sh builds them) and what happens when one is missing. */
import { existsSync } from 'node:fs'
import { peerPlace } from '../../src/bench/peers.js'

export type Peer = 'minio' | 'telemetrygen' | 'k6' | 'tempo' | 'tempo-cli'

/** Not in the Go module proxy as a program; used where somebody built it. k6 is one with xk6-client-tracing in it, Tempo is 3.x. */
const BUILT_FROM_CHECKOUT: ReadonlySet<Peer> = new Set<Peer>(['k6', 'tempo', 'tempo-cli'])

/** In CI a missing peer must not look like a passed test: there this variable is 1, and means those that the script builds. */
const REQUIRED = process.env.TEMPO_ACTORS_REQUIRE_PEERS === '1'

/** The program's path; undefined, or an error where peers are required, when it is not built. */
export function peerPath(name: Peer): string | undefined {
  const path = placeOf(name)
  if (existsSync(path)) return path
  if (REQUIRED && !BUILT_FROM_CHECKOUT.has(name)) {
    throw new Error(`${whyMissing(name)}; TEMPO_ACTORS_REQUIRE_PEERS=1 asks for it`)
  }
  return undefined
}

function placeOf(name: Peer): string {
  return peerPlace(process.env, name)
}

function whyMissing(name: Peer): string {
  if (BUILT_FROM_CHECKOUT.has(name)) return `there is no ${name} at ${placeOf(name)}`
  return `${name} is not built, run scripts/peers.sh ${name}`
}

/** The title of a suite, which says why it is skipped where it is. */
export function peerTitle(title: string, name: Peer): string {
  if (peerPath(name)) return title
  return `${title} (skipped: ${whyMissing(name)})`
}
