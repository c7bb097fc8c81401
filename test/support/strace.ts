/**
 * Owns reading what strace recorded of a server: the system calls that change files below one folder, as operations in the order in
 * which they ended, with the points of the code (src/lib/failpoints.ts) between them.
 *
 * Recorded with: strace -f -y -xx -s 1000000 -e trace=<STRACE_CALLS> -o <file>
 */
import { gunzipSync, gzipSync } from 'node:zlib'
import { join, relative } from 'node:path'

export const STRACE_CALLS =
  'openat,lseek,write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,' +
  'copy_file_range,sendfile,sync_file_range,msync,syncfs'

/** Paths are below the folder; `began` and `ended` are places in the recording. */
export type DiskOp = { readonly began: number; readonly ended: number } & (
  | { readonly call: 'create'; readonly path: string; readonly truncates: boolean }
  | {
      readonly call: 'write'
      readonly path: string
      readonly offset: number
      readonly bytes: Uint8Array
      /** Through a handle that syncs each write. */
      readonly isSynced: boolean
    }
  | { readonly call: 'sync' | 'unlink' | 'rmdir' | 'mkdir'; readonly path: string }
  | { readonly call: 'truncate'; readonly path: string; readonly length: number }
  | { readonly call: 'rename' | 'link'; readonly path: string; readonly to: string }
  | { readonly call: 'mark'; readonly path: string; readonly detail: string }
)

interface Call {
  began: number
  ended: number
  name: string
  args: string[]
  result: string
}

export interface RecordingOptions {
  /** Where the server was started: its relative paths begin here. */
  readonly cwd: string
  /** Only what is below is kept. */
  readonly root: string
  /** The file of TEMPO_ACTORS_FAILPOINT_TRACE. */
  readonly marks: string
}

export function parseStrace(text: string, options: RecordingOptions): DiskOp[] {
  const reader = new Reader(options)
  return completeCalls(text).flatMap((call) => reader.opsOf(call))
}

/** One line a call; strace splits those during which another thread was seen. */
function completeCalls(text: string): Call[] {
  const open = new Map<string, { began: number; head: string }>()
  const calls: Call[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const [, pid, body] = /^(\d+) +(.*)$/.exec(line) ?? []
    if (pid === undefined || body === undefined) continue
    const unfinished = / <unfinished \.\.\.>$/.exec(body)
    if (unfinished) {
      open.set(pid, { began: index, head: body.slice(0, unfinished.index) })
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>/.exec(body)
    const begun = resumed ? open.get(pid) : undefined
    const whole = begun ? begun.head + body.slice(resumed![0].length) : body
    const match = /^(\w+)\((.*)\) += (.*)$/.exec(whole)
    if (!match) continue
    const [, name, args, result] = match as unknown as [string, string, string, string]
    calls.push({ began: begun?.began ?? index, ended: index, name, args: splitArgs(args), result })
  }
  return calls
}

/** Commas inside quotes and brackets are no separators. */
function splitArgs(text: string): string[] {
  const args: string[] = []
  let depth = 0
  let isQuoted = false
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (c === '"') isQuoted = !isQuoted
    else if (isQuoted) continue
    else if ('[{<('.includes(c)) depth++
    else if (']}>)'.includes(c)) depth--
    else if (c === ',' && depth === 0) {
      args.push(text.slice(from, i).trim())
      from = i + 1
    }
  }
  args.push(text.slice(from).trim())
  return args
}

class Reader {
  /** Position and mode by file descriptor; all threads of a process share the table. */
  readonly #handles = new Map<number, { position: number; isSynced: boolean; appends: boolean }>()

  constructor(private readonly options: RecordingOptions) {}

  opsOf(call: Call): DiskOp[] {
    if (call.result.startsWith('-1')) return []
    const { began, ended } = call
    const at = { began, ended }
    const [first = '', second = '', third = '', fourth = ''] = call.args
    switch (call.name) {
      case 'openat':
        return this.#open(call)
      case 'write':
      case 'writev':
        return this.#write(call, first, textsOf(second))
      case 'pwrite64':
        return this.#write(call, first, textsOf(second), Number(fourth))
      case 'pwritev':
        return this.#write(call, first, textsOf(second), Number(fourth))
      case 'lseek': {
        const handle = this.#handles.get(Number(/^\d+/.exec(first)?.[0] ?? -1))
        if (handle) handle.position = Number(call.result)
        return []
      }
      case 'fsync':
      case 'fdatasync':
        return this.#on(pathOfHandle(first), (path) => ({ ...at, call: 'sync', path }))
      case 'ftruncate': {
        const length = Number(second)
        return this.#on(pathOfHandle(first), (path) => ({ ...at, call: 'truncate', path, length }))
      }
      case 'mkdir':
        return this.#on(this.#path(first), (path) => ({ ...at, call: 'mkdir', path }))
      case 'mkdirat':
        return this.#on(this.#path(second, first), (path) => ({ ...at, call: 'mkdir', path }))
      case 'rmdir':
        return this.#on(this.#path(first), (path) => ({ ...at, call: 'rmdir', path }))
      case 'unlink':
        return this.#on(this.#path(first), (path) => ({ ...at, call: 'unlink', path }))
      case 'unlinkat': {
        const kind = third.includes('AT_REMOVEDIR') ? 'rmdir' : 'unlink'
        return this.#on(this.#path(second, first), (path) => ({ ...at, call: kind, path }))
      }
      case 'rename':
        return this.#move('rename', at, this.#path(first), this.#path(second))
      case 'renameat':
      case 'renameat2':
        return this.#move('rename', at, this.#path(second, first), this.#path(fourth, third))
      case 'link':
        return this.#move('link', at, this.#path(first), this.#path(second))
      case 'linkat':
        return this.#move('link', at, this.#path(second, first), this.#path(fourth, third))
      default:
        return this.#on(pathOfHandle(third || first), (path) => {
          throw new Error(`the model knows no ${call.name} on ${path}`)
        })
    }
  }

  #open(call: Call): DiskOp[] {
    const { began, ended } = call
    const flags = call.args[2] ?? ''
    const fd = Number(/^\d+/.exec(call.result)?.[0] ?? -1)
    const isSynced = /\bO_D?SYNC\b/.test(flags)
    this.#handles.set(fd, { position: 0, isSynced, appends: flags.includes('O_APPEND') })
    if (!/O_CREAT|O_TRUNC/.test(flags)) return []
    const truncates = flags.includes('O_TRUNC')
    return this.#on(pathOfHandle(call.result), (path) => ({
      began,
      ended,
      call: 'create',
      path,
      truncates,
    }))
  }

  #write(call: Call, handle: string, bytes: Uint8Array, offset?: number): DiskOp[] {
    const { began, ended } = call
    const absolute = pathOfHandle(handle)
    if (absolute === this.options.marks) {
      const [name = '', ...detail] = Buffer.from(bytes).toString().trim().split(' ')
      // Folders in a mark are told as the other paths are.
      const told = detail.map((word) => (word.startsWith('/') ? this.#below(word) : word) ?? word)
      return [{ began, ended, call: 'mark', path: name, detail: told.join(' ') }]
    }
    const fd = Number(/^\d+/.exec(handle)?.[0] ?? -1)
    const open = this.#handles.get(fd)
    const written = bytes.subarray(0, Number(call.result))
    const at = offset ?? open?.position ?? 0
    if (open && offset === undefined) open.position += written.length
    return this.#on(absolute, (path) => ({
      began,
      ended,
      call: 'write',
      path,
      offset: at,
      bytes: written,
      isSynced: open?.isSynced ?? false,
    }))
  }

  #move(
    call: 'rename' | 'link',
    at: { began: number; ended: number },
    from: string | undefined,
    target: string | undefined,
  ): DiskOp[] {
    const to = target === undefined ? undefined : this.#below(target)
    if (to === undefined) return []
    return this.#on(from, (path) => ({ ...at, call, path, to }))
  }

  #on(absolute: string | undefined, make: (path: string) => DiskOp): DiskOp[] {
    const path = absolute === undefined ? undefined : this.#below(absolute)
    return path === undefined ? [] : [make(path)]
  }

  #path(quoted: string, folder = ''): string | undefined {
    if (!quoted.startsWith('"')) return undefined
    const name = Buffer.from(textsOf(quoted)).toString()
    return name.startsWith('/') ? name : join(pathOfHandle(folder) ?? this.options.cwd, name)
  }

  #below(path: string): string | undefined {
    const name = relative(this.options.root, path)
    return name.startsWith('..') ? undefined : name
  }
}

/** What stands in <> behind a descriptor. */
function pathOfHandle(text: string): string | undefined {
  const path = /^(?:\d+|AT_FDCWD)<(.*?)>(?:\(deleted\))?$/.exec(text)?.[1]
  return path === undefined ? undefined : Buffer.from(unescaped(path)).toString()
}

/** All quoted strings of an argument, one after another: a vector of writes is one write. */
function textsOf(arg: string): Uint8Array {
  return Buffer.concat([...arg.matchAll(/"([^"]*)"/g)].map(([, text]) => unescaped(text!)))
}

function unescaped(text: string): Buffer {
  if (!text.includes('\\')) return Buffer.from(text)
  if (/^(\\x[0-9a-f]{2})*$/.test(text)) return Buffer.from(text.replaceAll('\\x', ''), 'hex')
  const latin = text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(latin, 'latin1')
}

/** A recording as a file: one JSON line an operation, gzipped. */
export function packRecording(ops: readonly DiskOp[]): Uint8Array {
  const lines = ops.map((op) =>
    JSON.stringify(
      op.call === 'write' ? { ...op, bytes: Buffer.from(op.bytes).toString('base64') } : op,
    ),
  )
  return gzipSync(lines.join('\n'), { level: 9 })
}

export function unpackRecording(file: Uint8Array): DiskOp[] {
  return gunzipSync(file)
    .toString()
    .split('\n')
    .map((line) => {
      const op = JSON.parse(line) as DiskOp & { bytes?: string }
      if (op.call !== 'write') return op
      return { ...op, bytes: Buffer.from(op.bytes as unknown as string, 'base64') }
    })
}
