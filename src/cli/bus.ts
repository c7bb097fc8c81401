/** Owns `tempo-actors bus dlq`: the dead letters of a running server, asked for over its HTTP API; tables or JSON, exit codes. */
import { parseArgs } from 'node:util'
import { errorText } from '../lib/log.js'
import { oneLine } from '../lib/one-line.js'
import { formatBytes } from '../lib/units.js'

const USAGE_ERROR = 2
const TIMEOUT_MS = 60_000

const HELP = `Usage: tempo-actors bus dlq list            what is there, and since when
       tempo-actors bus dlq show ID         one of them; with --raw its OTLP bytes, to pipe into a file
       tempo-actors bus dlq replay ID...    send it again; it goes away once its spans are durable
       tempo-actors bus dlq discard ID...   throw it away

Dead letters are records that killed the actor which read them three times. They are kept until somebody decides.

  --endpoint URL   the server's HTTP API (default http://127.0.0.1:3200)
  --all            replay or discard every one, instead of ID
  --json           print JSON
Exit codes: 0 done, 1 something was not done, 2 wrong usage.
`

const OPTIONS = {
  endpoint: { type: 'string', default: 'http://127.0.0.1:3200' },
  all: { type: 'boolean', default: false },
  raw: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

class Usage extends Error {}

/** As the server shows a dead letter. */
interface Letter {
  readonly id: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly tenant: string
  readonly receivedAt: string
  readonly quarantinedAt: string
  readonly spans: number
  readonly bytes: number
  readonly tries: number
  readonly reason: string
  readonly lastDeath: string
  readonly wasAcknowledged: boolean
}

interface Listing {
  readonly count: number
  readonly bytes: number
  readonly since: string | null
  readonly limits: { readonly count: number; readonly bytes: number }
  readonly deadLetters: readonly Letter[]
}

type Values = ReturnType<typeof parse>['values']

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
}

/** Resolves with the exit code. */
export async function busCommand(args: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parseOrUsage(args)
    if (values.help || positionals.length === 0) {
      process.stdout.write(HELP)
      return values.help ? 0 : USAGE_ERROR
    }
    const [subject, verb, ...ids] = positionals
    if (subject !== 'dlq') throw new Usage(`unknown subject ${JSON.stringify(subject)}: only dlq`)
    return await run(verb, ids, values)
  } catch (error) {
    process.stderr.write(`tempo-actors bus: ${oneLine(errorText(error))}\n`)
    return error instanceof Usage ? USAGE_ERROR : 1
  }
}

function parseOrUsage(args: readonly string[]) {
  try {
    return parse(args)
  } catch (error) {
    throw new Usage(`${errorText(error)}; see tempo-actors bus --help`)
  }
}

async function run(
  verb: string | undefined,
  ids: readonly string[],
  values: Values,
): Promise<number> {
  switch (verb) {
    case 'list':
      if (ids.length > 0) throw new Usage('list takes no ID')
      return list(values)
    case 'show':
      if (ids.length !== 1) throw new Usage('show takes one ID; see tempo-actors bus dlq list')
      return show(ids[0]!, values)
    case 'replay':
      return each(ids, values, 'replayed', (id) => ask(values, 'POST', `/${encoded(id)}/replay`))
    case 'discard':
      return each(ids, values, 'discarded', (id) => ask(values, 'DELETE', `/${encoded(id)}`))
    default:
      throw new Usage(
        `unknown command ${JSON.stringify(verb ?? '')}: list, show, replay or discard`,
      )
  }
}

async function list(values: Values): Promise<number> {
  const listing = await listed(values)
  if (values.json) return say(JSON.stringify(listing, undefined, 2) + '\n')
  const { count, bytes, since, limits, deadLetters } = listing
  if (count === 0) return say('no dead letters\n')
  say(
    `${count} dead letters since ${since ?? '?'}, ${formatBytes(bytes)} (room for ${limits.count}, ${formatBytes(limits.bytes)})\n\n`,
  )
  const rows = deadLetters.map((letter) => [
    letter.id,
    letter.quarantinedAt,
    letter.tenant,
    String(letter.spans),
    formatBytes(letter.bytes),
    letter.wasAcknowledged ? 'yes' : 'no',
    letter.lastDeath,
  ])
  return say(table([['ID', 'SINCE', 'TENANT', 'SPANS', 'SIZE', 'ACKED', 'LAST DEATH'], ...rows]))
}

async function show(id: string, values: Values): Promise<number> {
  if (values.raw) {
    const reply = await ask(values, 'GET', `/${encoded(id)}?raw=true`)
    process.stdout.write(new Uint8Array(await reply.arrayBuffer()))
    return 0
  }
  const letter = (await (await ask(values, 'GET', `/${encoded(id)}`)).json()) as Letter
  if (values.json) return say(JSON.stringify(letter, undefined, 2) + '\n')
  return say(table(Object.entries(letter).map(([name, value]) => [name, String(value)])))
}

/** One after the other: a replay that kills again must not take the others with it. */
async function each(
  ids: readonly string[],
  values: Values,
  done: string,
  act: (id: string) => Promise<unknown>,
): Promise<number> {
  if (values.all === ids.length > 0) throw new Usage('give either IDs or --all')
  const chosen = values.all ? (await listed(values)).deadLetters.map(({ id }) => id) : ids
  const results: { id: string; result: string }[] = []
  let failures = 0
  for (const id of chosen) {
    const failure = await act(id).then(() => undefined, errorText)
    if (failure !== undefined) failures++
    results.push({ id, result: failure ?? done })
    if (!values.json) say(`${id}  ${failure ?? done}\n`)
  }
  if (values.json) say(JSON.stringify(results, undefined, 2) + '\n')
  else if (chosen.length === 0) say('no dead letters\n')
  return failures > 0 ? 1 : 0
}

async function listed(values: Values): Promise<Listing> {
  const reply = await (await ask(values, 'GET', '')).text()
  try {
    const listing = JSON.parse(reply) as Partial<Listing> | null
    if (Array.isArray(listing?.deadLetters) && listing.limits) return listing as Listing
  } catch {
    // Said below.
  }
  throw new Error(
    `${values.endpoint} answers, but not as tempo-actors does: --endpoint says where it is`,
  )
}

async function ask(values: Values, method: string, path: string): Promise<Response> {
  const url = `${values.endpoint.replace(/\/$/, '')}/api/bus/dlq${path}`
  let reply: Response
  try {
    reply = await fetch(url, { method, signal: AbortSignal.timeout(TIMEOUT_MS) })
  } catch (error) {
    const { cause } = error as { cause?: unknown }
    throw new Error(
      `no answer from ${values.endpoint} (${errorText(cause ?? error)}): is the server running there? --endpoint says where`,
      { cause: error },
    )
  }
  if (!reply.ok) throw new Error(`${reply.status}: ${(await reply.text()).trim()}`)
  return reply
}

function encoded(id: string): string {
  return encodeURIComponent(id)
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]! + 2))).join('')
  return rows.map((row) => `${line(row)}\n`).join('')
}

function say(text: string): number {
  process.stdout.write(text)
  return 0
}
