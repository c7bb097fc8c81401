/** Owns the progress bar of long work: one line on stderr, drawn anew, only where somebody looks at a terminal. */
import type { Clock } from '../../lib/time.js'

const REDRAW_MS = 100
const BAR_CHARACTERS = 24
/** A shorter wait needs no bar. */
const QUIET_MS = 300
const CLEAR_LINE = '\r\x1b[K'

export interface ProgressOptions {
  readonly write: (text: string) => void
  readonly isShown: boolean
  readonly clock: Clock
}

export class Progress {
  readonly #options: ProgressOptions
  #began_ms = 0
  #drawn_ms = 0
  #isDrawn = false

  constructor(options: ProgressOptions) {
    this.#options = options
  }

  /** Begins a piece of work, whose time is then estimated by itself. */
  begin(): void {
    this.#began_ms = this.#options.clock.monotonic()
  }

  /** `share` of the work is done, 0 to 1; undefined when nobody can tell. */
  show(label: string, share?: number): void {
    const { write, isShown, clock } = this.#options
    const now = clock.monotonic()
    const elapsed_ms = now - this.#began_ms
    if (!isShown || elapsed_ms < QUIET_MS || now - this.#drawn_ms < REDRAW_MS) return
    this.#drawn_ms = now
    this.#isDrawn = true
    write(`${CLEAR_LINE}${share === undefined ? label : `${bar(share)} ${label}${left(share, elapsed_ms)}`}`) // prettier-ignore
  }

  /** Takes the bar away, so that a line can be written. */
  clear(): void {
    if (!this.#isDrawn) return
    this.#isDrawn = false
    this.#options.write(CLEAR_LINE)
  }
}

function bar(share: number): string {
  const whole = Math.max(0, Math.min(1, share))
  const full = Math.round(BAR_CHARACTERS * whole)
  const percent = `${Math.floor(100 * whole)}%`.padStart(4)
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CHARACTERS - full)}]${percent}`
}

function left(share: number, elapsed_ms: number): string {
  if (share <= 0.01 || share >= 1) return ''
  const seconds = Math.ceil((elapsed_ms * (1 - share)) / share / 1000)
  return seconds < 60 ? `, ${seconds} s left` : `, ${Math.ceil(seconds / 60)} min left`
}
