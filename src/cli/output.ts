/** Owns where a command writes: the process's streams, or a test's strings. */

export interface Output {
  /** What was asked for. */
  readonly out: (text: string) => void
  /** What is said about it. */
  readonly err: (text: string) => void
}

export const processOutput: Output = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
}
