/** A configuration file that is none is told in a sentence, and never read to its end. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CONFIG_BYTES_MAX, readConfigText } from '../../src/config/read-text.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-text-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function written(content: string | Uint8Array): string {
  const path = join(folder, 'f.yaml')
  writeFileSync(path, content)
  return path
}

describe('a configuration file', () => {
  it('is read as it is, to the last byte that may be', () => {
    const text = `a: ${'ü'.repeat(CONFIG_BYTES_MAX / 2 - 2)}x`
    expect(Buffer.byteLength(text)).toBe(CONFIG_BYTES_MAX)
    expect(readConfigText(written(text), 'f.yaml')).toBe(text)
  })

  it('with a byte too many is refused', () => {
    const path = written('a'.repeat(CONFIG_BYTES_MAX + 1))
    expect(() => readConfigText(path, 'f.yaml')).toThrow(/^f\.yaml has more than 1048576 bytes/)
  })

  it('that never ends is refused after its first megabyte', () => {
    expect(() => readConfigText('/dev/zero', 'it')).toThrow(/^it has more than 1048576 bytes/)
  })

  it('that is no text is refused', () => {
    const path = written(Uint8Array.of(0x61, 0xff, 0xfe))
    expect(() => readConfigText(path, 'f.yaml')).toThrow('f.yaml is no text: its bytes are not UTF-8') // prettier-ignore
  })

  it('that is not there, or a folder, is told so', () => {
    expect(() => readConfigText(join(folder, 'no'), 'no')).toThrow('no cannot be read: it does not exist') // prettier-ignore
    expect(() => readConfigText(folder, 'it')).toThrow('it cannot be read: it is a folder')
  })
})
