/** Owns `--config.expand-env`: ${VAR} and ${VAR:-default} in the text of a configuration file, as Tempo expands them. */
import { ConfigError } from './error.js'

/** `$${` stands for a `${` that is meant as such. */
const REFERENCE = /\$?\$\{([^}\n]*)\}/g
const NAME = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-=])(.*))?$/s

export interface Expanded {
  readonly content: string
  readonly warnings: readonly string[]
}

/** A variable that is not set and has no default is empty and warned of, except in comments. */
export function expandEnv(
  file: string,
  content: string,
  env: Readonly<Record<string, string | undefined>>,
): Expanded {
  const warnings: string[] = []
  const problems: string[] = []
  const lines = content.split('\n').map((line, index) => {
    const isComment = line.trimStart().startsWith('#')
    // Past the last "}" nothing can end: without this, a line of "${" alone takes time in the square of it.
    const last = line.lastIndexOf('}') + 1
    const expand = (whole: string, body: string, column: number): string => {
      if (whole.startsWith('$$')) return whole.slice(1)
      if (isComment) return whole
      const place = `${file}:${index + 1}:${column + 1}`
      const match = NAME.exec(body)
      if (!match) {
        problems.push(`${place}: ${whole} is not understood: write \${NAME} or \${NAME:-default}`)
        return ''
      }
      const [, name, operator, byDefault] = match
      const value = env[name!]
      // ":-" takes the default for an empty variable too, "-" only for one that is not set.
      const isMissing = operator?.startsWith(':') ? !value : value === undefined
      if (!isMissing) return value ?? ''
      if (byDefault !== undefined) return byDefault
      warnings.push(`${place}: the environment variable ${name!} is not set; it is read as empty`)
      return ''
    }
    return line.slice(0, last).replace(REFERENCE, expand) + line.slice(last)
  })
  if (problems.length > 0) throw new ConfigError(problems)
  return { content: lines.join('\n'), warnings }
}
