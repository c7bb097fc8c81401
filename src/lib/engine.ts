/**
 * Owns how V8 is tuned for a program of many threads: each has its own heap and compiles its own code, so the
 * defaults, made for one, are paid many times. To be called before the first thread is made.
 *
 * Measured with `npm run bench -- --only full` on two cores (Node 20.20, 847,902 spans): as it comes 15.2 to 16.9 CPU
 * seconds, of which a fifth compiled code and a sixth collected garbage; each flag alone 5 to 10 % less.
 */
import { setFlagsFromString } from 'node:v8'

export const ENGINE_FLAGS: readonly string[] = [
  // A heap of 10 MB is otherwise marked ten times a second for the network buffers that come and go beside it.
  '--initial-old-space-size=24',
  // Eight threads optimise what is hot, not what is warm: four times the default before a function counts as hot.
  '--interrupt-budget=270000',
  // A third of the default: what is inlined twice is compiled twice.
  '--max-inlined-bytecode-size-cumulative=300',
]

export function tuneEngine(): void {
  for (const flag of ENGINE_FLAGS) setFlagsFromString(flag)
}
