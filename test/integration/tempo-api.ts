/** Owns asking a store as Grafana does: a trace by id, and searches, in the forms that tests compare. */
interface SpanJson {
  spanId: string
  parentSpanId?: string
}

interface TraceJson {
  resourceSpans?: { scopeSpans?: { spans?: SpanJson[] }[] }[]
}

interface SearchJson {
  traces?: { traceID: string; spanSets?: { matched?: number }[] }[]
}

const LIMIT = 100_000
const TIMEOUT_MS = 60_000

/** Span ids (hex) of a trace, sorted; an id that is there twice is listed twice. */
export async function spanIds(base: string, traceId: string): Promise<string[]> {
  return (await spans(base, traceId)).map(({ spanId }) => hex(spanId)).sort()
}

/** The parent's id by span id (hex); '' where there is none. */
export async function parentIds(base: string, traceId: string): Promise<Map<string, string>> {
  const all = await spans(base, traceId)
  return new Map(all.map(({ spanId, parentSpanId = '' }) => [hex(spanId), hex(parentSpanId)]))
}

async function spans(base: string, traceId: string): Promise<SpanJson[]> {
  const reply = (await get(`${base}/api/v2/traces/${traceId}`)) as { trace?: TraceJson }
  const scopes = (reply.trace?.resourceSpans ?? []).flatMap(({ scopeSpans = [] }) => scopeSpans)
  return scopes.flatMap((scope) => scope.spans ?? [])
}

function hex(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex')
}

/** What a search finds: how many spans matched, by trace id (32 hex digits). */
export async function search(base: string, query: string): Promise<Map<string, number>> {
  const params = new URLSearchParams({ q: query, limit: String(LIMIT), spss: '1' })
  const reply = (await get(`${base}/api/search?${params.toString()}`)) as SearchJson
  const found = new Map<string, number>()
  for (const { traceID, spanSets } of reply.traces ?? []) {
    const matched = (spanSets ?? []).reduce((sum, set) => sum + (set.matched ?? 0), 0)
    found.set(traceID.padStart(32, '0'), matched)
  }
  return found
}

/** Every value of an attribute, such as `resource.service.name`. */
export async function tagValues(base: string, tag: string): Promise<string[]> {
  const reply = (await get(`${base}/api/v2/search/tag/${tag}/values?limit=${LIMIT}`)) as {
    tagValues?: { value: string }[]
  }
  return (reply.tagValues ?? []).map(({ value }) => value).sort()
}

async function get(url: string): Promise<unknown> {
  const reply = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  if (!reply.ok) throw new Error(`${url} answered ${reply.status}: ${await reply.text()}`)
  return reply.json()
}
