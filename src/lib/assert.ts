/** Owns the one way to state an invariant: a broken one is a bug, and crashes the actor (operating errors are handled instead). */
export class AssertionError extends Error {
  readonly code = 'ASSERTION'
}

/** Throws `AssertionError` with the text when the condition is false; the text carries the numbers. */
export function assert(condition: boolean, text: string): asserts condition {
  if (!condition) throw new AssertionError(text)
}
