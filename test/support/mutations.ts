/**
 * Owns making hostile input out of good: seeded mutations of protobuf, of JSON and of text, on the bytes and on the structure.
 * A structural mutation keeps every length around it right, so that the fault lies deep where few bytes would get by chance.
 */
import type { Random } from './random.js'

type Bytes = Uint8Array<ArrayBuffer>

/** A field of a message as it stands: its tag and content, and where the content of a delimited one begins. */
interface Field {
  readonly number: number
  readonly type: number
  readonly from: number
  readonly content: number
  readonly to: number
}

const DELIMITED = 2
const GROUP = 3
const HUGE_FIELD = 536_870_911
const MAX_LEVEL = 12

export function mutateProto(random: Random, bytes: Uint8Array): Bytes {
  let out = copy(bytes)
  for (let rounds = 1 + random.below(3); rounds > 0; rounds--) {
    out = random.oneIn(3) ? mutateBytes(random, out) : mutateMessage(random, out, 0)
  }
  return out
}

/** Flips, cuts, repeats and fills: what a broken cable or a program in a bad mood sends. */
export function mutateBytes(random: Random, bytes: Uint8Array): Bytes {
  const out = copy(bytes)
  if (out.length === 0) return copy(random.bytes(random.below(64)))
  const at = random.below(out.length)
  switch (random.below(7)) {
    case 0:
      for (let flips = 1 + random.below(8); flips > 0; flips--) {
        out[random.below(out.length)]! ^= 1 << random.below(8)
      }
      return out
    case 1:
      return out.slice(0, at)
    case 2:
      return join(out.subarray(0, at), random.bytes(random.below(40)), out.subarray(at))
    case 3:
      return join(out.subarray(0, at), out.subarray(random.below(out.length)))
    case 4:
      out.fill(random.pick([0, 0x7f, 0x80, 0xff]), at, at + random.below(24))
      return out
    case 5:
      out[at] = random.pick([0, 0x0a, 0x12, 0x80, 0xff, 0x22, 0x7b, 0x5b])
      return out
    default:
      return random.oneIn(10) ? copy(random.bytes(random.below(300))) : out.subarray(at)
  }
}

function mutateMessage(random: Random, bytes: Bytes, level: number): Bytes {
  const fields = fieldsOf(bytes)
  if (fields.length === 0) return join(bytes, oddField(random))
  const field = random.pick(fields)
  const before = bytes.subarray(0, field.from)
  const after = bytes.subarray(field.to)
  const whole = bytes.subarray(field.from, field.to)
  const content = bytes.slice(field.content, field.to)
  if (field.type === DELIMITED && level < MAX_LEVEL && content.length > 1 && !random.oneIn(4)) {
    return join(before, delimited(field.number, mutateMessage(random, content, level + 1)), after)
  }
  switch (random.below(13)) {
    case 0:
      return join(before, after)
    case 1:
      return join(before, whole, whole, after)
    case 2:
      return join(before, tag(field.number, random.below(8)), content, after)
    case 3:
      return join(before, delimited(random.pick([0, 1, 15, 16, 31, 32, 2047, HUGE_FIELD]), content), after)
    case 4:
      return join(before, delimited(field.number, random.bytes(random.below(40))), after)
    case 5:
      return join(before, tag(field.number, DELIMITED), varint(random.pick(LENGTHS)), content, after)
    case 6:
      return join(before, tag(field.number, 0), longVarint(random), after)
    case 7:
      return join(before, whole, oddField(random), after)
    case 8:
      return join(before, tag(field.number, GROUP), content, tag(field.number, GROUP + 1), after)
    case 9:
      return join(before, delimited(field.number, mutateBytes(random, content)), after)
    case 10:
      return join(before, delimited(9, nestedAttribute(1 + random.below(120))), whole, after)
    case 11:
      return join(after, whole, before)
    default:
      return join(before, delimited(field.number, content.subarray(0, random.below(20))), after)
  }
} // prettier-ignore

const LENGTHS = [
  0n,
  1n,
  127n,
  128n,
  65_536n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n,
  2n ** 64n - 1n,
]

/** The fields of a message, as far as they can be read. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const fields: Field[] = []
  for (let at = 0; at < bytes.length;) {
    const from = at
    const [key, behind] = readVarint(bytes, at)
    const type = key & 7
    if (behind < 0 || key < 8) break
    let content = behind
    if (type === 0) at = readVarint(bytes, behind)[1]
    else if (type === 1) at = behind + 8
    else if (type === 5) at = behind + 4
    else if (type === DELIMITED) {
      const [length, start] = readVarint(bytes, behind)
      if (start < 0) break
      content = start
      at = start + length
    } else break
    if (at < 0 || at > bytes.length) break
    fields.push({ number: key >>> 3, type, from, content, to: at })
  }
  return fields
}

/** A value below 2^31 and where it ends; -1 when it is none. */
function readVarint(bytes: Uint8Array, at: number): [number, number] {
  let value = 0
  for (let shift = 0; shift < 70 && at < bytes.length; shift += 7) {
    const byte = bytes[at++]!
    value += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return value < 2 ** 31 ? [value, at] : [0, at]
  }
  return [0, -1]
}

function tag(number: number, type: number): Bytes {
  return varint((BigInt(number) << 3n) | BigInt(type))
}

function delimited(number: number, content: Uint8Array): Bytes {
  return join(tag(number, DELIMITED), varint(BigInt(content.length)), content)
}

function varint(value: bigint): Bytes {
  const out: number[] = []
  let rest = BigInt.asUintN(64, value)
  for (; rest >= 0x80n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80)
  out.push(Number(rest))
  return Uint8Array.from(out)
}

/** Of 9 to 14 bytes: ten are allowed. */
function longVarint(random: Random): Bytes {
  const out = new Uint8Array(9 + random.below(6)).fill(0xff)
  out[out.length - 1] = random.pick([0, 1, 2, 0x7f, 0xff])
  return out
}

function oddField(random: Random): Bytes {
  switch (random.below(6)) {
    case 0:
      return tag(random.pick([0, 1, 5, 17, HUGE_FIELD]), random.below(8))
    case 1:
      return join(tag(HUGE_FIELD, DELIMITED), varint(3n), Uint8Array.of(1, 2, 3))
    case 2:
      return join(tag(3 + random.below(20), 0), longVarint(random))
    case 3:
      return Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x01)
    case 4:
      return delimited(1 + random.below(20), nestedGroups(random.below(50)))
    default:
      return random.bytes(random.below(12)) as Bytes
  }
}

function nestedGroups(depth: number): Bytes {
  return Uint8Array.from({ length: depth * 2 }, (_, i) => (i < depth ? 0x0b : 0x0c))
}

/** A KeyValue whose value is an array in an array in an array ... */
export function nestedAttribute(depth: number, kind: 'array' | 'map' = 'array'): Bytes {
  let value = join(Uint8Array.of(0x0a, 1), Uint8Array.of(0x78))
  for (let i = 0; i < depth; i++) {
    value =
      kind === 'array'
        ? delimited(5, delimited(1, value))
        : delimited(6, delimited(1, join(delimited(1, Uint8Array.of(0x6b)), delimited(2, value))))
  }
  return join(delimited(1, Uint8Array.of(0x6b)), delimited(2, value))
}

export function mutateText(random: Random, text: string): string {
  const at = random.below(text.length + 1)
  switch (random.below(6)) {
    case 0:
      return text.slice(0, at) + random.pick(NASTY_TEXTS) + text.slice(at)
    case 1:
      return text.slice(0, at)
    case 2:
      return text.slice(0, at) + text.slice(random.below(text.length + 1))
    case 3:
      return text.slice(0, at) + String.fromCharCode(random.below(0x10000)) + text.slice(at + 1)
    case 4:
      return text.slice(0, at) + random.pick(PUNCTUATION) + text.slice(at)
    default:
      return text.slice(0, at) + text.slice(at + 1 + random.below(5))
  }
}

const PUNCTUATION = '{}()[]"\'`=~!&|<>.,:;+-*/%^#\\\n\t\0 '.split(/(?:)/u)
export const NASTY_TEXTS = [
  '__proto__', 'constructor', 'toString', 'hasOwnProperty', '../../etc/passwd', '%2e%2e%2f', '\0', '\ud800',
  '\u202e', '😀', 'NaN', 'Infinity', '1e308', '-1', '99999999999999999999', '0x10', 'a'.repeat(300), '(', '((((((((((',
  '(a+)+$', '.*.*.*.*.*', '[', '\\', '"', '`', '{}', '<script>', "'; drop table spans; --", '${7*7}', 'a|b', ' ', '',
] // prettier-ignore

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** The text of a JSON value with something in it that does not belong there. */
export function mutateJson(random: Random, value: unknown): string {
  const text = JSON.stringify(random.oneIn(4) ? value : changed(random, value as Json, 0))
  if (!random.oneIn(3)) return text
  return mutateText(random, text)
}

function changed(random: Random, value: Json, level: number): Json {
  const isDeep = level > 3 && random.oneIn(5)
  if (Array.isArray(value) && value.length > 0 && !isDeep) {
    const at = random.below(value.length)
    return value.map((item, i) => (i === at ? changed(random, item, level + 1) : item))
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !isDeep) {
    const entries = Object.entries(value)
    if (entries.length > 0 && !random.oneIn(6)) {
      const at = random.below(entries.length)
      return Object.fromEntries(
        entries.map(([key, item], i) => [key, i === at ? changed(random, item, level + 1) : item]),
      )
    }
    return Object.fromEntries([...entries, [random.pick(NASTY_TEXTS), nasty(random)]])
  }
  return nasty(random)
}

function nasty(random: Random): Json {
  switch (random.below(10)) {
    case 0:
      return random.pick(NASTY_TEXTS)
    case 1:
      return random.pick([0, -1, 1e308, 1.5, 2 ** 53, -(2 ** 63), 1e-300])
    case 2:
      return null
    case 3:
      return random.oneIn(2)
    case 4:
      return []
    case 5:
      return {}
    case 6:
      return deep(1 + random.below(200), random.oneIn(2))
    case 7:
      return { arrayValue: { values: [nasty(random)] } }
    case 8:
      return { ['__proto__']: { polluted: true }, constructor: { prototype: {} } }
    default:
      return random.hex(random.below(40))
  }
}

function deep(levels: number, asList: boolean): Json {
  let out: Json = 'x'
  for (let i = 0; i < levels; i++) out = asList ? [out] : { kvlistValue: { values: [{ key: 'k', value: out }] } }
  return out
} // prettier-ignore

export function join(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

function copy(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes)
}
