/** Owns the log: one line a fact, as logfmt or JSON, coloured for people on a terminal; written with writeSync so that no line dies with its thread. */
import { writeSync } from 'node:fs'
import { systemClock } from './time.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'logfmt' | 'json' | 'pretty'
export type LogFields = Record<string, string | number | boolean | bigint | undefined | null>

const LEVELS: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }
const COLOURS: Record<LogLevel, number> = { debug: 90, info: 36, warn: 33, error: 31 }
const STDERR = 2

export interface Log {
  debug(msg: string, fields?: LogFields): void
  info(msg: string, fields?: LogFields): void
  warn(msg: string, fields?: LogFields): void
  error(msg: string, fields?: LogFields): void
  /** The same log with these fields on every line. */
  with(fields: LogFields): Log
}

export interface LogOptions {
  level?: LogLevel // default 'info'
  format?: LogFormat // default 'logfmt'
  write?: (line: string) => void // default: file descriptor 2
}

/** Makes a log; `fields` stand on every line of it. */
export function createLog(options: LogOptions = {}, fields: LogFields = {}): Log {
  const { level = 'info', format = 'logfmt', write = writeStderr } = options
  const emit = (at: LogLevel) => (msg: string, more?: LogFields) => {
    if (LEVELS[at] >= LEVELS[level]) write(render(format, at, msg, { ...fields, ...more }))
  }
  return {
    debug: emit('debug'),
    info: emit('info'),
    warn: emit('warn'),
    error: emit('error'),
    with: (more) => createLog(options, { ...fields, ...more }),
  }
}

/** A log that says nothing, for tests. */
export const silentLog: Log = createLog({ write: () => {} })

function render(format: LogFormat, level: LogLevel, msg: string, fields: LogFields): string {
  const ts = new Date(systemClock.now()).toISOString()
  if (format === 'json') {
    return (
      JSON.stringify({ ts, level, msg, ...fields }, (_, v: unknown) =>
        typeof v === 'bigint' ? v.toString() : v,
      ) + '\n'
    )
  }
  const pairs = Object.entries(fields).filter(([, v]) => v !== undefined)
  if (format === 'pretty') {
    const tail = pairs.map(([k, v]) => `\x1b[2m${k}=\x1b[22m${quote(String(v))}`).join(' ')
    return `\x1b[2m${ts.slice(11, 23)}\x1b[22m \x1b[${COLOURS[level]}m${level.padEnd(5)}\x1b[39m ${msg.replace(/\p{Cc}/gu, ' ')} ${tail}\n`
  }
  const tail = pairs.map(([k, v]) => ` ${k}=${quote(String(v))}`).join('')
  return `ts=${ts} level=${level} msg=${quote(msg)}${tail}\n`
}

function quote(text: string): string {
  return /^[^\s"=\\\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text)
}

function writeStderr(line: string): void {
  try {
    writeSync(STDERR, line)
  } catch {
    // A closed or full stderr must not take the store down; there is nowhere left to say it.
  }
}

/** The message of whatever was thrown, without its stack. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
