/** Owns `node:fs` as the store's modules see it in the simulation: the few calls they use, on the simulated disk. */
import { disk } from '../disk.js'

const BLOCK_BYTES = 4096
const FOLDER_FD = 3

export function mkdirSync(path: string): void {
  disk.now(`mkdir ${path}`, () => disk.makeFolder(path))
}

export function statSync(path: string): { isDirectory: () => boolean } {
  return disk.now(`stat ${path}`, () => disk.stat(path))
}

export function readdirSync(path: string): string[] {
  return disk.now(`readdir ${path}`, () => disk.names(path))
}

export function renameSync(from: string, to: string): void {
  disk.now(`rename ${from} to ${to}`, () => disk.rename(from, to))
}

export function rmSync(path: string): void {
  disk.now(`rm ${path}`, () => disk.remove(path))
}

export function statfsSync(): { bavail: number; bsize: number } {
  return { bavail: disk.mood.free_bytes / BLOCK_BYTES, bsize: BLOCK_BYTES }
}

export const openSync = (): number => FOLDER_FD
export const closeSync = (): void => undefined
export const fsyncSync = (): void => undefined
