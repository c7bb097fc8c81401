/** Owns the oldest Node.js that the program runs on, told before anything is loaded that an older one cannot read. */

const OLDEST = [20, 19] as const

/** What is wrong with this Node.js, if anything is. */
export function nodeProblem(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isOld = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])
  return isOld
    ? `Node.js ${OLDEST.join('.')} or newer is needed, this is ${version}: install a newer one (https://nodejs.org)`
    : undefined
}
