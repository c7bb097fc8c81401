/** Owns the bound on what a door holds in memory: the bytes and the number of requests between socket and verdict. */

export class Budget {
  #bytes = 0
  #requests = 0

  constructor(
    private readonly max_bytes: number,
    private readonly max_requests: number,
  ) {}

  get bytes(): number {
    return this.#bytes
  }

  get requests(): number {
    return this.#requests
  }

  /** Whether another request may come in. */
  get isFull(): boolean {
    return this.#bytes >= this.max_bytes || this.#requests >= this.max_requests
  }

  get description(): string {
    return `${this.#requests} requests (of ${this.max_requests}) with ${this.#bytes} bytes (of ${this.max_bytes}) are in flight`
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
}
