/** Owns a trace as text for people: its spans as a tree, with where in time each stands. */
import { traceToJson } from '../../otlp/trace-json.js'
import { plain, shortened, span as durationText, time } from './table.js'

/** A trace of more spans is told by its beginning; `--json` has all. */
const SHOWN_SPANS = 500
const MAX_DEPTH = 64
const BAR_CHARACTERS = 30

/** What is used of Tempo's JSON; ids are base64. */
interface SpanJson {
  readonly spanId?: string
  readonly parentSpanId?: string
  readonly name?: string
  readonly kind?: string
  readonly startTimeUnixNano?: string
  readonly endTimeUnixNano?: string
  readonly status?: { readonly code?: string; readonly message?: string }
}
interface ResourceJson {
  readonly attributes?: readonly { readonly key?: string; readonly value?: { readonly stringValue?: string } }[] // prettier-ignore
}
interface TraceJson {
  readonly resourceSpans?: readonly {
    readonly resource?: ResourceJson
    readonly scopeSpans?: readonly { readonly spans?: readonly SpanJson[] }[]
  }[]
}

interface Node {
  readonly span: SpanJson
  readonly service: string
  readonly start_ns: bigint
  readonly end_ns: bigint
  readonly children: Node[]
}

/** Of tempopb.Trace bytes. */
export function traceText(trace: Uint8Array): string {
  const nodes = nodesOf(JSON.parse(traceToJson(trace, { v1: false })) as TraceJson)
  const roots = treeOf(nodes)
  const first_ns = nodes.reduce((least, { start_ns }) => (start_ns < least ? start_ns : least), nodes[0]?.start_ns ?? 0n) // prettier-ignore
  const last_ns = nodes.reduce((most, { end_ns }) => (end_ns > most ? end_ns : most), first_ns)
  const services = new Set(nodes.map(({ service }) => service))
  const errors = nodes.filter(({ span }) => isError(span)).length
  const head = `${nodes.length} spans of ${services.size} services, ${errors} with an error, from ${time(first_ns)} for ${durationText(last_ns - first_ns)}\n` // prettier-ignore
  const lines: string[] = []
  for (const root of roots) print(root, 0, { first_ns, last_ns, lines })
  const left = nodes.length - lines.length
  return `${head}${lines.join('')}${left > 0 ? `${left} more spans: --json has them\n` : ''}`
}

function nodesOf({ resourceSpans = [] }: TraceJson): Node[] {
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) => {
    const named = resource?.attributes?.find(({ key }) => key === 'service.name')
    const service = named?.value?.stringValue ?? '?'
    return scopeSpans.flatMap(({ spans = [] }) =>
      spans.map((span): Node => {
        const start_ns = BigInt(span.startTimeUnixNano ?? 0)
        return { span, service, start_ns, end_ns: BigInt(span.endTimeUnixNano ?? 0), children: [] }
      }),
    )
  })
}

/** Spans without a parent, or whose parent is not there, are roots; so is one of each circle. */
function treeOf(nodes: readonly Node[]): Node[] {
  const byId = new Map(nodes.map((node) => [node.span.spanId ?? '', node]))
  const roots: Node[] = []
  for (const node of nodes) {
    const parent = byId.get(node.span.parentSpanId ?? '')
    if (parent && parent !== node && node.span.parentSpanId !== undefined)
      parent.children.push(node)
    else roots.push(node)
  }
  const reached = new Set<Node>()
  const reach = (from: Node) => {
    const waiting = [from]
    for (let node = waiting.pop(); node; node = waiting.pop()) {
      if (reached.has(node)) continue
      reached.add(node)
      waiting.push(...node.children)
    }
  }
  for (const root of roots) reach(root)
  for (const node of nodes) {
    if (reached.has(node)) continue
    roots.push(node)
    reach(node)
  }
  const byStart = (a: Node, b: Node) => (a.start_ns < b.start_ns ? -1 : 1)
  for (const node of nodes) node.children.sort(byStart)
  return roots.sort(byStart)
}

interface Page {
  readonly first_ns: bigint
  readonly last_ns: bigint
  readonly lines: string[]
  readonly printed?: Set<Node>
}

function print(node: Node, depth: number, page: Page): void {
  const printed = page.printed ?? new Set<Node>()
  if (page.lines.length >= SHOWN_SPANS || printed.has(node) || depth > MAX_DEPTH) return
  printed.add(node)
  const { span, service, start_ns, end_ns } = node
  const name = shortened(plain(`${'  '.repeat(depth)}${service}: ${span.name ?? ''}`), 60)
  const what = `${(span.kind ?? '').replace('SPAN_KIND_', '').toLowerCase()}${isError(span) ? ' ERROR' : ''}` // prettier-ignore
  const said = span.status?.message ? ` ${shortened(plain(span.status.message), 60)}` : ''
  const took = durationText(end_ns - start_ns).padStart(9)
  page.lines.push(`${barOf(node, page)} ${took}  ${name}  ${what}${said}`.trimEnd() + '\n')
  for (const child of node.children) print(child, depth + 1, { ...page, printed })
}

/** Where the span lies within the trace. */
function barOf({ start_ns, end_ns }: Node, { first_ns, last_ns }: Page): string {
  const whole = Number(last_ns - first_ns) || 1
  const place = (ns: bigint) =>
    Math.max(0, Math.min(BAR_CHARACTERS, Math.floor((BAR_CHARACTERS * Number(ns - first_ns)) / whole))) // prettier-ignore
  const from = Math.min(BAR_CHARACTERS - 1, place(start_ns))
  const to = Math.max(from + 1, place(end_ns))
  return `|${' '.repeat(from)}${'='.repeat(to - from)}${' '.repeat(BAR_CHARACTERS - to)}|`
}

const isError = ({ status }: SpanJson): boolean => status?.code === 'STATUS_CODE_ERROR'
