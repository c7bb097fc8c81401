/**
 * Owns the bound on what the doors hold in memory: the bytes and the number of requests between socket and answer. One
 * object serves all doors of a receiver; near the process's memory limit it lets little in, or nothing.
 */
import type { PressureLevel } from '../../lib/pressure.js'

export interface BudgetOptions {
  /** Bodies together; at least one message. */
  readonly max_bytes: number
  readonly max_requests: number
  /** How near the process is to its memory limit. */
  readonly pressure?: () => PressureLevel
  /** Told of each request that is turned away, for the metrics. */
  readonly onRefused?: (why: Fullness) => void
}

/** A budget of a door's own. */
export function budgetOf(bounds: {
  readonly max_inflight_bytes: number
  readonly max_inflight_requests: number
}): Budget {
  const { max_inflight_bytes: max_bytes, max_inflight_requests: max_requests } = bounds
  return new Budget({ max_bytes, max_requests })
}

/** What there is too much of. */
export type Fullness = 'bytes' | 'requests' | 'memory'

/** New requests come in up to this share; the rest is for those that are in already and grow. */
const ADMIT_SHARE = 0.5
/** The same while memory is tight. At a sixteenth, a store on a starved machine took a third of what it could. */
const ADMIT_SHARE_TIGHT = 1 / 4

export class Budget {
  readonly #options: BudgetOptions
  #bytes = 0
  #requests = 0

  constructor(options: BudgetOptions) {
    this.#options = options
  }

  get bytes(): number {
    return this.#bytes
  }

  get requests(): number {
    return this.#requests
  }

  /** Whether another request may not come in. */
  get isFull(): boolean {
    return this.#fullness() !== undefined
  }

  /** Whether what has come in is more than there is room for: what grows must be refused, it grew after it came in. */
  get isOver(): boolean {
    return this.#bytes > this.#options.max_bytes
  }

  /** Why a request is refused; counts it. */
  refuse(): string {
    const why = this.#fullness() ?? 'bytes'
    this.#options.onRefused?.(why)
    if (why === 'memory') return 'the store is near its memory limit'
    return `the receiver is full: ${this.description}`
  }

  get description(): string {
    const { max_bytes, max_requests } = this.#options
    return `${this.#requests} requests (of ${max_requests}) with ${this.#bytes} bytes (of ${max_bytes}) are in flight`
  }

  enter(bytes: number): void {
    this.#requests++
    this.#bytes += bytes
  }

  /** Corrects a request's size, when more of it has come. */
  grow(bytes: number): void {
    this.#bytes += bytes
  }

  leave(bytes: number): void {
    this.#requests--
    this.#bytes -= bytes
  }

  #fullness(): Fullness | undefined {
    const { max_bytes, max_requests, pressure } = this.#options
    const level = pressure?.() ?? 'none'
    if (level === 'closed') return 'memory'
    if (this.#requests >= max_requests) return 'requests'
    if (level === 'tight' && this.#bytes >= max_bytes * ADMIT_SHARE_TIGHT) return 'memory'
    return this.#bytes >= max_bytes * ADMIT_SHARE ? 'bytes' : undefined
  }
}
