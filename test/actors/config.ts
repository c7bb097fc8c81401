/** Owns a configuration for actors in tests: the defaults, with all data below one folder. */
import { loadConfig, type Config } from '../../src/config.js'

export function configFor(folder: string, change: (config: Config) => Config = (c) => c): Config {
  const { config } = loadConfig({ cwd: folder, files: [], env: {} })
  return change(config)
}
