/** Owns attributes with columns of their own as text: `span.http.route,span.http.status_code:int,resource.blob:blob`. */
import type { DedicatedColumn } from '../../storage/block/encoding.js'
import { Usage } from './context.js'

const SCOPES = ['resource', 'span', 'event'] as const

/** Throws `Usage`. */
export function parseDedicated(text: string): DedicatedColumn[] {
  return text.split(',').flatMap((part) => (part.trim() === '' ? [] : [parseOne(part.trim())]))
}

function parseOne(text: string): DedicatedColumn {
  const match = /^(resource|span|event)\.(.+?)((?::(?:int|string|blob))*)$/.exec(text)
  const scope = SCOPES.find((one) => one === match?.[1])
  if (!match || !scope) {
    throw new Usage(`--dedicated: ${JSON.stringify(text)} is no attribute with its scope: expected resource., span. or event. and a name, then :int or :blob`) // prettier-ignore
  }
  const options = match[3]!.split(':')
  const column: DedicatedColumn = {
    ...(scope !== 'span' && { s: scope }),
    n: match[2]!,
    ...(options.includes('int') && { t: 'int' as const }),
    ...(options.includes('blob') && { o: ['blob'] }),
  }
  return column
}

export function dedicatedText({ s = 'span', n, t, o = [] }: DedicatedColumn): string {
  return `${s}.${n}${t === 'int' ? ':int' : ''}${o.includes('blob') ? ':blob' : ''}`
}
