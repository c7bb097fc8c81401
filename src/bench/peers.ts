/** Owns where the bench looks for a real Tempo to measure beside: a variable of the environment, else where scripts/peers.sh puts programs. */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

type Environment = Readonly<Record<string, string | undefined>>

/** Where the binary has to be; TEMPO_BIN names it, else it is in the cache folder that the tests share. */
export function tempoPlace(env: Environment, home: string = homedir()): string {
  if (env.TEMPO_BIN) return env.TEMPO_BIN
  return peerPlace(env, 'tempo', home)
}

/** Where scripts/peers.sh puts a program. */
export function peerPlace(env: Environment, name: string, home: string = homedir()): string {
  return join(env.TEMPO_ACTORS_CACHE ?? join(home, '.cache', 'tempo-actors'), 'peers', name)
}

/** The binary, or the sentence that says why there is none. */
export function findTempo(
  env: Environment,
  home?: string,
): { path: string } | { whyMissing: string } {
  const path = tempoPlace(env, home)
  if (existsSync(path)) return { path }
  const hint = env.TEMPO_BIN ? '(TEMPO_BIN)' : '(build Tempo and put it there, or set TEMPO_BIN)'
  return { whyMissing: `no Tempo beside: there is no file ${path} ${hint}` }
}
