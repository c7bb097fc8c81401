/** Owns what this build is: its version and the Node it runs on. */
import { readFileSync } from 'node:fs'

export interface BuildInfo {
  readonly version: string
  readonly revision: string
  readonly nodeVersion: string
}

/** Reads the package's own manifest, two folders above the compiled file as above the source. */
export function buildInfo(): BuildInfo {
  const manifest = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as {
    version: string
    gitHead?: string
  }
  return {
    version: manifest.version,
    revision: manifest.gitHead ?? '',
    nodeVersion: process.version,
  }
}
