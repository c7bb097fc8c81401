/** Owns the look at LMDB's pages, of which the simulated disk has none. */
export const preflight = (): void => undefined
