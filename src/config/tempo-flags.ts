/** Owns the flags of Tempo that we know and do not read: they warn, where a typo fails. */
import { isUnsupported } from './tempo-keys.js'

/** Flags that are not spelled as the path of their key. */
const EXACT = new Set(
  `http-api-prefix shutdown-delay enable-go-runtime-metrics span-profiling mutex-profile-fraction
   block-profile-threshold config.enable-legacy-overrides distributor.rate-limit-strategy
   distributor.log-received-spans.enabled distributor.log-received-spans.include-attributes
   distributor.log-received-spans.filter-by-status-error distributor.log-discarded-spans.enabled
   distributor.log-discarded-spans.include-attributes distributor.log-discarded-spans.filter-by-status-error
   ingester.max-global-traces-per-user querier.max-blocks-per-tag-values-query
   querier.max-condition-groups-per-tag-query querier.frontend-address querier.dns-lookup-period
   querier.worker-parallelism querier.worker-match-max-concurrent querier.id
   querier.max-outstanding-requests-per-tenant live-store.concurrent-blocks
   storage.trace.block.v2-bloom-filter-false-positive storage.trace.block.v2-bloom-filter-shard-size-bytes`.split(
    /\s+/,
  ),
)

/** Of modules that we do not have. */
const PREFIXES =
  `memberlist. backend-scheduler backend-worker. worker.ring. block-builder. generator.
  metrics-generator. ingest. cache. livestore.client. querier.frontend-client. reporting. distributor.ring.
  compaction.`.split(/\s+/)

/** `name` without its dashes, as it was written. */
export function isTempoFlag(name: string): boolean {
  if (EXACT.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix))) return true
  return isUnsupported(name.replaceAll('-', '_'))
}
