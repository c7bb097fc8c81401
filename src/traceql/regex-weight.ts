/**
 * Owns the estimate of what a regular expression becomes when it is compiled: counted repetitions are written out, so that
 * `(\pL{1,100}){10}` is as long as a thousand of its kind. It is a bound from above, made without compiling.
 */

const COUNT = /\{(\d{1,9})(?:,(\d{0,9}))?\}/y

/** About the instructions that a pattern compiles to. */
export function weightOf(pattern: string): number {
  /** The weight of each group that is open, and of what stands outside. */
  const open: number[] = [0]
  let last = 0
  const add = (weight: number) => {
    open[open.length - 1]! += weight
    last = weight
  }
  for (let at = 0; at < pattern.length; at++) {
    switch (pattern[at]) {
      case '\\':
        at++
        add(1)
        break
      case '[':
        at = endOfClass(pattern, at)
        add(1)
        break
      case '(':
        open.push(2)
        break
      case ')':
        add(open.length > 1 ? open.pop()! : 1)
        break
      case '{': {
        COUNT.lastIndex = at
        const count = COUNT.exec(pattern)
        if (!count) add(1)
        else {
          const times = Math.max(Number(count[1]), Number(count[2] ?? 0), 1)
          at += count[0].length - 1
          // Each copy of an optional part has a branch of its own.
          const copies = last * times + times
          open[open.length - 1]! += copies - last
          last = copies
        }
        break
      }
      default:
        add(1)
    }
  }
  return open.reduce((sum, weight) => sum + weight, 0)
}

function endOfClass(pattern: string, at: number): number {
  let end = at + 1
  if (pattern[end] === '^') end++
  // A bracket that comes first is one of the class.
  if (pattern[end] === ']') end++
  for (; end < pattern.length && pattern[end] !== ']'; end++) if (pattern[end] === '\\') end++
  return Math.min(end, pattern.length - 1)
}
