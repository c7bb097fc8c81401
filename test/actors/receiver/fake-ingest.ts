/** Owns the store's end of the doors in tests: an Ingest that answers what a test wants, when it wants it. */
import type { Ingest, PushRequest, PushResult } from '../../../src/actors/receiver/contract.js'

export const TAKEN: PushResult = { ok: true, rejectedSpans: 0, message: '' }

export class FakeIngest implements Ingest {
  readonly requests: PushRequest[] = []
  answer: (request: PushRequest) => PushResult | Promise<PushResult> = () => TAKEN
  private held: (() => void)[] = []

  async push(request: PushRequest): Promise<PushResult> {
    this.requests.push({ ...request, body: request.body.slice() })
    return this.answer(request)
  }

  /** From now on, requests wait for `release`. */
  hold(): void {
    this.answer = () => new Promise((resolve) => this.held.push(() => resolve(TAKEN)))
  }

  release(): void {
    for (const answer of this.held.splice(0)) answer()
  }
}

/** Waits until `met` holds; the test's own timeout is the bound. */
export async function until(met: () => boolean): Promise<void> {
  while (!met()) await new Promise((resolve) => setTimeout(resolve, 5))
}
