/** Owns the page /status/config: the settings as YAML, all of them, the defaults, or what is not as by default. */
import { stringify } from 'yaml'
import type { Config } from './types.js'
import { differences, writtenDefaults } from './written.js'

export type ShowMode = '' | 'diff' | 'defaults'

export function isShowMode(mode: string): mode is ShowMode {
  return mode === '' || mode === 'diff' || mode === 'defaults'
}

export function showConfig({ settings }: Pick<Config, 'settings'>, mode: ShowMode): string {
  const shown = {
    '': () => settings,
    diff: () => differences(settings, writtenDefaults()),
    defaults: writtenDefaults,
  }[mode]()
  return `---\n${stringify(shown, { lineWidth: 0 })}`
}
