/**
 * Owns the cutting of attribute keys and string values that are over the tenant's limit: a copy of the request with them
 * shortened and every length around them corrected. The rare path: `validate.ts` says when it is needed.
 *
 * As in Tempo, strings inside arrays and maps are left alone. Unlike Tempo, a cut never divides a character.
 */
import { copyBytes } from '../lib/copy.js'
import {
  ANY_VALUE,
  EVENT,
  KEY_VALUE,
  LINK,
  REQUEST,
  RESOURCE,
  SCOPE,
  SPAN,
  type Message,
} from './schema.js'
import {
  LENGTH_DELIMITED,
  lastValue,
  readLength,
  readTag,
  skipField,
  varintSize,
  writeVarint,
} from './wire.js'

export type AttributeLevel = 'resource' | 'scope' | 'span' | 'event' | 'link'

/** How many keys and values were cut, by level, and the first of them. */
export interface Truncation {
  total: number
  readonly byLevel: Record<AttributeLevel, number>
  example?: { level: AttributeLevel; name: string; field: 'key' | 'value'; size_bytes: number }
}

export function noTruncation(): Truncation {
  return { total: 0, byLevel: { resource: 0, scope: 0, span: 0, event: 0, link: 0 } }
}

const LEVELS = new Map<Message, AttributeLevel>([
  [RESOURCE, 'resource'],
  [SCOPE, 'scope'],
  [SPAN, 'span'],
  [EVENT, 'event'],
  [LINK, 'link'],
])

/** Cuts attribute keys and string values of a request that `validate.ts` has passed. */
export function truncateAttributes(
  request: Uint8Array,
  max_bytes: number,
): { request: Uint8Array; truncation: Truncation } {
  const out = new Uint8Array(request.length)
  const cutter = new Cutter(request, out, max_bytes)
  const end = cutter.message(0, request.length, REQUEST, 0)
  return { request: out.subarray(0, end), truncation: cutter.truncation }
}

class Cutter {
  readonly truncation = noTruncation()
  private level: AttributeLevel = 'span'
  private key = ''

  constructor(
    private readonly source: Uint8Array,
    private readonly out: Uint8Array,
    private readonly max_bytes: number,
  ) {}

  /** Copies the message in [from, end) to `out` at `at`, cutting on the way; returns the end of the copy. */
  message(from: number, end: number, of: Message, at: number): number {
    const { source, out } = this
    const level = LEVELS.get(of)
    while (from < end) {
      const field = from
      from = readTag(source, from, end)
      const tag = lastValue()
      const description = (tag & 7) === LENGTH_DELIMITED ? fieldOf(of, tag >>> 3) : undefined
      const child = description?.message
      const isText = description?.kind === 'string'
      if (!child && !(isText && (of === KEY_VALUE || of === ANY_VALUE))) {
        from = skipField(source, from, end, tag)
        at = copyBytes(source, field, from, out, at)
        continue
      }
      const start = readLength(source, from, end)
      const stop = start + lastValue()
      at = copyBytes(source, field, from, out, at)
      if (!child) at = this.text(start, stop, of === KEY_VALUE ? 'key' : 'value', at)
      else if (of === ANY_VALUE) at = copyBytes(source, from, stop, out, at)
      else {
        if (child === KEY_VALUE && level) this.level = level
        at = this.child(start, stop, child, at)
      }
      from = stop
    }
    return at
  }

  /** A nested message behind its tag. Its length is known only afterwards; it never grows, so at most it is moved down. */
  private child(start: number, stop: number, of: Message, at: number): number {
    const room = varintSize(stop - start)
    const end = this.message(start, stop, of, at + room)
    const size = end - at - room
    const need = varintSize(size)
    if (need < room) this.out.copyWithin(at + need, at + room, end)
    writeVarint(this.out, at, size)
    return at + need + size
  }

  private text(start: number, stop: number, field: 'key' | 'value', at: number): number {
    const size = stop - start
    const kept = size > this.max_bytes ? wholeCharacters(this.source, start, this.max_bytes) : size
    if (field === 'key') this.key = decode(this.source, start, start + Math.min(kept, 128))
    if (kept < size) this.note(field, size)
    at = writeVarint(this.out, at, kept)
    return copyBytes(this.source, start, start + kept, this.out, at)
  }

  private note(field: 'key' | 'value', size_bytes: number): void {
    const { truncation, level } = this
    truncation.total++
    truncation.byLevel[level]++
    truncation.example ??= { level, name: this.key, field, size_bytes }
  }
}

function fieldOf(of: Message, number: number) {
  return of.fields.find((field) => field.number === number)
}

/** The most bytes, at most `max`, that end on a character's border (any three bytes back is enough for UTF-8). */
function wholeCharacters(b: Uint8Array, start: number, max: number): number {
  for (let kept = max; kept > max - 4 && kept > 0; kept--) {
    if ((b[start + kept]! & 0xc0) !== 0x80) return kept
  }
  return max
}

function decode(b: Uint8Array, from: number, to: number): string {
  return new TextDecoder().decode(b.slice(from, to))
}
