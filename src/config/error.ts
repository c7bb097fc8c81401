/** Owns how a configuration that cannot be used is told: one plain sentence a problem, never a stack. */

export class ConfigError extends Error {
  readonly code = 'CONFIG'
  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'))
  }
}
