/** Owns the way in to the configuration: its shape for everyone, its loading for main.ts. */
export type { Config } from './config/types.js'
export { ConfigError } from './config/error.js'
export { describeConfig, describeSources } from './config/describe.js'
export { helpText, parseCommandLine, type CommandLine } from './config/flags.js'
export { loadConfig, type LoadedConfig, type LoadOptions } from './config/load.js'
