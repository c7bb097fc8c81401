/** Owns what must be true of spans: which were acknowledged, which a query has shown, and in how many places each may be. */
import { world } from './world.js'

export type Found = ReadonlyMap<string, readonly string[]>

export class Ledger {
  readonly sent = new Map<string, string>()
  /** How often a span was appended to a ring of `traces`: a retry, or a distributor's death, appends it again. */
  readonly #appended = new Map<string, number>()
  /** Acknowledged, or seen by a query: to be found from then on. By tenant. */
  readonly #mustFind = new Map<string, Set<string>>()
  /** In a write-ahead log by now, or in a block that was built of it. */
  readonly #durable = new Set<string>()
  /** Appended by the process that runs, and in no log yet: by partition, each with the end of its record. */
  #volatile: { partition: number; end: number; names: readonly string[] }[] = []
  /** In the dead letters: acknowledged maybe, but to be looked for there. */
  readonly #putAside = new Set<string>()
  acknowledged = 0

  noteSent(tenant: string, names: readonly string[]): void {
    for (const name of names) this.sent.set(name, tenant)
  }

  noteAppended(names: readonly string[], partition: number, end: number): void {
    for (const name of names) this.#appended.set(name, (this.#appended.get(name) ?? 0) + 1)
    this.#volatile.push({ partition, end, names })
  }

  /** A transaction of the log has taken all records of a partition up to here. */
  noteApplied(partition: number, offset: number): void {
    this.#volatile = this.#volatile.filter((record) => {
      if (record.partition !== partition || record.end > offset) return true
      for (const name of record.names) this.#durable.add(name)
      return false
    })
  }

  /** The process has ended, its rings with it. */
  forgetVolatile(): void {
    this.#volatile = []
  }

  /** What is answered with an ack is durable at that moment, whatever comes next. */
  judgeAck(names: readonly string[]): void {
    for (const name of names) {
      const isDurable = this.#durable.has(name) || this.#putAside.has(name)
      world.check(isDurable, 'acknowledged = durable', () => `${name} is in no log`)
    }
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
