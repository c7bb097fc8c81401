/** Owns numbering spans by the values they are grouped by: small integers, found per dictionary code or resource where possible. */
import type { StringColumn } from '../../otlp/columns.js'
import type { AttributeExpr } from '../ast.js'
import { NIL, staticKey, staticString } from '../static.js'
import type { Static } from '../static.js'
import { SERVICE_NAME } from './conditions.js'
import { levelReader, readerOf } from './values.js'
import type { Reader } from './values.js'
import type { GroupView } from './view.js'

export type IdOf = (row: number) => number

/** Numbers the values of one attribute, for all groups of a source. */
export class ValueIds {
  readonly attribute: AttributeExpr
  readonly values: Static[] = []
  readonly #ids = new Map<string, number>()
  constructor(attribute: AttributeExpr) {
    this.attribute = attribute
  }

  idOf(value: Static): number {
    const key = staticKey(value)
    let id = this.#ids.get(key)
    if (id === undefined) {
      this.#ids.set(key, (id = this.values.length))
      this.values.push(value)
    }
    return id
  }

  async open(view: GroupView): Promise<IdOf> {
    const { attribute: a } = this
    if (a.intrinsic === 'name' || a.intrinsic === 'statusMessage') {
      const column = await view.field(`span.${a.intrinsic}`)
      return column ? this.#byCode(column, staticString('')) : () => this.idOf(staticString(''))
    }
    if (a.scope === 'resource') {
      const read = await levelReader(view, 'resource', a.name)
      return this.#byRow((await view.parents()).resource, view.rows('resource'), read)
    }
    if (a.scope === 'span' && a.intrinsic === undefined) {
      const only = await this.#onlyTexts(view, a.name)
      if (only) return this.#byCode(only, NIL)
    }
    const read = await readerOf(view, a)
    if (a.intrinsic === 'status' || a.intrinsic === 'kind') return this.#byNumber(read)
    return (row) => this.idOf(read(row))
  }

  async #onlyTexts(view: GroupView, key: string): Promise<StringColumn | undefined> {
    if (key === SERVICE_NAME && this.attribute.scope !== 'span') return undefined
    const others = await Promise.all(
      (['int', 'float', 'bool', 'any'] as const).map((type) => view.attribute('span', key, type)),
    )
    if (others.some((column) => column !== undefined)) return undefined
    const column = await view.attribute('span', key, 'string')
    return column?.type === 'string' ? column : undefined
  }

  #byCode({ codes, dictionary }: StringColumn, missing: Static): IdOf {
    const ids = new Int32Array(dictionary.size + 1).fill(-1)
    return (row) => {
      const code = codes[row]!
      let id = ids[code]!
      if (id < 0) {
        ids[code] = id = this.idOf(code === 0 ? missing : staticString(dictionary.text(code)))
      }
      return id
    }
  }

  #byRow(parents: Uint32Array, count: number, read: Reader): IdOf {
    const ids = new Int32Array(count).fill(-1)
    return (row) => {
      const parent = parents[row]!
      if (ids[parent]! < 0) ids[parent] = this.idOf(read(parent))
      return ids[parent]!
    }
  }

  #byNumber(read: Reader): IdOf {
    const ids: number[] = []
    return (row) => {
      const value = read(row) as { value: number } & Static
      return (ids[value.value] ??= this.idOf(value))
    }
  }
}
