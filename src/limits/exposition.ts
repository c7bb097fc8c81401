/** Owns what /metrics says of limits, under Tempo's names. Written from the view at each scrape: tenants come and go with the file. */
import type { LimitName } from '../config/limits.js'
import type { LimitsView } from './view.js'

/** Tempo's names of the limits, by ours. */
const METRIC_LIMITS: readonly (readonly [name: string, limit: LimitName])[] = [
  ['max_local_traces_per_user', 'max_traces_per_user'],
  ['ingestion_rate_limit_bytes', 'rate_limit_bytes'],
  ['ingestion_burst_size_bytes', 'burst_size_bytes'],
  ['max_bytes_per_trace', 'max_bytes_per_trace'],
  ['max_bytes_per_tag_values_query', 'max_bytes_per_tag_values_query'],
]

export function limitsExposition(view: LimitsView): string {
  const lines = head('tempo_limits_defaults', 'Limits of tenants that have none of their own.')
  for (const [name, limit] of METRIC_LIMITS) {
    lines.push(`tempo_limits_defaults{limit_name="${name}"} ${Number(view.defaults[limit])}`)
  }
  const tenants = view.tenants()
  if (tenants.length > 0) {
    lines.push(...head('tempo_limits_overrides', 'Limits of tenants that have their own.'))
    for (const tenant of tenants) {
      const { limits } = view.entry(tenant)
      for (const [name, limit] of METRIC_LIMITS) {
        const labels = `limit_name="${name}",user="${escaped(tenant)}"`
        lines.push(`tempo_limits_overrides{${labels}} ${Number(limits[limit])}`)
      }
    }
  }
  if (view.loaded !== 'none') {
    const at = 'tempo_runtime_config_last_reload_successful'
    lines.push(...head(at, 'Whether the last reading of the limits of tenants was good.'))
    lines.push(`${at}{config="overrides"} ${view.loaded === 'good' ? 1 : 0}`)
  }
  return lines.join('\n') + '\n'
}

function head(name: string, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`]
}

function escaped(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
