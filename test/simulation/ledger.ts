/** Owns what must be true of spans: which were acknowledged, which a query has shown, and in how many places each may be. */
import { world } from './world.js'

export type Found = ReadonlyMap<string, readonly string[]>

export class Ledger {
  readonly sent = new Map<string, string>()
  /** How often a span was appended to a ring of `traces`: a retry, or a distributor's death, appends it again. */
  readonly #appended = new Map<string, number>()
  /** Acknowledged, or seen by a query: to be found from then on. By tenant. */
  readonly #mustFind = new Map<string, Set<string>>()
  /** In the dead letters: acknowledged maybe, but to be looked for there. */
  readonly #putAside = new Set<string>()
  acknowledged = 0

  noteSent(tenant: string, names: readonly string[]): void {
    for (const name of names) this.sent.set(name, tenant)
  }

  noteAppended(names: readonly string[]): void {
    for (const name of names) this.#appended.set(name, (this.#appended.get(name) ?? 0) + 1)
  }

  notePutAside(names: readonly string[]): void {
    for (const name of names) this.#putAside.add(name)
  }

  isPutAside(name: string): boolean {
    return this.#putAside.has(name)
  }

  noteAcknowledged(tenant: string, names: readonly string[]): void {
    const set = this.#of(tenant)
    for (const name of names) {
      if (!set.has(name)) this.acknowledged++
      set.add(name)
    }
  }

  /** What a query that begins now has to find. */
  expected(tenant: string): string[] {
    return [...this.#of(tenant)]
  }

  judge(tenant: string, expected: readonly string[], found: Found, when: string): void {
    for (const name of expected) {
      const isFound = found.has(name) || this.#putAside.has(name)
      world.check(isFound, 'acknowledged = findable', () => `${name} of ${tenant} ${when}`)
    }
    for (const [name, blocks] of found) {
      world.check(this.sent.get(name) === tenant, 'nothing is made up', () => `${name} ${when}`)
      const copies = this.#appended.get(name) ?? 0
      const at = () => `${name} is in ${blocks.join(' and ')}, appended ${copies} times ${when}`
      world.check(blocks.length <= copies, 'stored once', at)
      world.check(new Set(blocks).size === blocks.length, 'once in a block', at)
    }
    // Who has seen a span may build on it: rows are published after the log has them.
    const set = this.#of(tenant)
    for (const name of found.keys()) set.add(name)
  }

  #of(tenant: string): Set<string> {
    let set = this.#mustFind.get(tenant)
    if (!set) this.#mustFind.set(tenant, (set = new Set()))
    return set
  }
}

/** The ledger of the seed that runs. */
export let ledger = new Ledger()

export function newLedger(): Ledger {
  ledger = new Ledger()
  return ledger
}
