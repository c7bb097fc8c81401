/** What no user means to write on a command line: each ends in plain words and an exit code, none in a stack trace or a wait. */
import { execFileSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { blocksCommand } from '../../src/cli/blocks.js'
import { busCommand } from '../../src/cli/bus.js'
import { configCommand } from '../../src/cli/config.js'
import { loadCommand } from '../../src/cli/load.js'
import { serve } from '../../src/cli/serve.js'

const COMMANDS = {
  serve,
  config: configCommand,
  blocks: (args: readonly string[], output: Parameters<typeof serve>[1]) =>
    blocksCommand(args, output ? { output } : {}),
  bus: busCommand,
  load: loadCommand,
}
type Command = keyof typeof COMMANDS
const WORDS_CHARS_MAX = 4000

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'arguments-'))
  writeFileSync(join(folder, 'binary'), Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0xff, 0xfe, 0x80]))
  writeFileSync(join(folder, 'nul.yaml'), 'server:\n  log_level: "\0"\n')
  writeFileSync(join(folder, 'proto.yaml'), '__proto__:\n  x: 1\nconstructor: 2\n')
  const large = openSync(join(folder, 'large'), 'w')
  ftruncateSync(large, 100 * 2 ** 20)
  closeSync(large)
  execFileSync('mkfifo', [join(folder, 'fifo')])
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => vi.restoreAllMocks())

interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function run(command: Command, args: readonly string[]): Promise<Said> {
  const said = { out: '', err: '' }
  const into = (name: 'out' | 'err') => (text: string | Uint8Array) => {
    said[name] += String(text)
    return true
  }
  vi.spyOn(process.stdout, 'write').mockImplementation(into('out'))
  vi.spyOn(process.stderr, 'write').mockImplementation(into('err'))
  const code = await COMMANDS[command](args, {
    out: (text) => void into('out')(text),
    err: (text) => void into('err')(text),
  })
  vi.restoreAllMocks()
  return { code, ...said }
}

function expectPlain({ code, err }: Said): void {
  expect([1, 2]).toContain(code)
  expect(err).toMatch(/^tempo-actors/)
  // eslint-disable-next-line no-control-regex -- what this is about
  expect(err.replaceAll('\n', '')).not.toMatch(/[\x00-\x1f\x7f-\x9f]/)
  expect(err).not.toMatch(/\n\s+at |internal error|\.[jt]s:\d+|Cannot read prop|is not a function/)
  expect(err.length).toBeLessThan(WORDS_CHARS_MAX)
}

const inFolder = (args: readonly string[]) => args.map((arg) => arg.replace('FOLDER', folder))
const lines = ({ err }: Said) => err.split('\n').filter((line) => line !== '').length

describe('the server’s flags', () => {
  it.each([
    [['--__proto__.x=1']],
    [['--__proto__=1']],
    [['--constructor=1']],
    [['--constructor.prototype=1']],
    [['--server.__proto__=1']],
    [['--server.constructor.name', 'x']],
    [['--toString']],
    [['']],
    [['-']],
    [['--']],
    [['---']],
    [['--=']],
    [['--=x']],
    [['=']],
    [['--\u001b[31mred']],
    [['\u0000']],
    [['--server.log-level=\u001b[2J\u0000\n\nspoofed: line']],
    [['--server.log-level', '']],
    [['--server.log-level']],
    [['--storage.trace.backend=\u2028\u2029\u009b']],
    [[`--${'a'.repeat(100_000)}=1`]],
    [[`--server.log-level=${'x'.repeat(1_000_000)}`]],
    [[`--server.http-listen-port=${'9'.repeat(100_000)}`]],
    [['--server.http-listen-port=1e999']],
    [['--server.http-listen-port=-1']],
    [['--server.http-listen-port=NaN']],
    [['--server.http-listen-port=0x50']],
    [['--actors.bus.partitions=9007199254740993']],
    [['--actors.bus.partitions=1e9']],
    [['--memory.limit=1e300']],
    [['--memory.limit=-1']],
    [['--live-store.max-block-duration=99999999999999999999h']],
    [['--config.expand-env=maybe']],
    [['--config']],
    [['--config=']],
    [['--config=\u0000']],
    [['--config=no\u001b[31m\nsuch']],
    [[`--config=${'x'.repeat(100_000)}`]],
    [['--config=FOLDER']],
    [['--config=FOLDER/none']],
    [['--config=FOLDER/binary']],
    [['--config=FOLDER/large']],
    [['--config=FOLDER/nul.yaml']],
    [['--config=FOLDER/proto.yaml']],
    [['--config=FOLDER/binary/x']],
    [['--config=/dev/zero']],
    [['--config=/proc/self/mem']],
    [['--config=FOLDER/none', '--config=FOLDER/none']],
    [['--health', '--health.url=nonsense']],
    [['--health', '--health.url=file:///etc/passwd']],
    [['--health', '--health.url=http://127.0.0.1:1/\u001b[31m']],
    [['--overrides.per-tenant-override-config=FOLDER']],
    [['--overrides.per-tenant-override-config=FOLDER/fifo']],
    [['--overrides.per-tenant-override-config=FOLDER/binary']],
    [['--overrides.per-tenant-override-config=\u0000']],
  ])('%j', async (args) => {
    // Should one be taken after all, nothing starts.
    const said = await run('serve', ['--config.verify', ...inFolder(args)])
    expectPlain(said)
    expect(lines(said)).toBeLessThanOrEqual(3)
  })

  it('that is given twice counts as it stands last, as in Go', async () => {
    const twice = ['--server.http-listen-port=1', '--server.http-listen-port=x', '--config.verify']
    expectPlain(await run('serve', twice))
    const [first, bad, verify] = twice
    expect(await run('serve', [bad!, first!, verify!])).toMatchObject({ code: 0 })
  })

  it('names a pipe that nobody writes into, and does not wait for one', async () => {
    const said = await run('serve', [`--config=${folder}/fifo`])
    expectPlain(said)
    expect(said.err).toContain('cannot be read: it is a pipe that gives nothing')
  })

  it('names a terminal or pipe that stays silent, after a while', { timeout: 60_000 }, async () => {
    const keeper = openSync(join(folder, 'fifo'), 'r+')
    try {
      const said = await run('serve', [`--config=${folder}/fifo`])
      expectPlain(said)
      expect(said.err).toContain('nothing came out of it for 5 s')
    } finally {
      closeSync(keeper)
    }
  })

  it('takes a configuration out of a pipe, as a shell gives it', async () => {
    const keeper = openSync(join(folder, 'fifo'), 'r+')
    writeFileSync(keeper, 'server:\n  log_level: nonsense\n')
    const reading = run('serve', [`--config=${folder}/fifo`])
    closeSync(keeper)
    const said = await reading
    expectPlain(said)
    expect(said.err).toMatch(/fifo:2:|nothing came out of it/)
  })
})

describe('the commands', () => {
  it.each<[Command, string[]]>([
    ['config', []],
    ['config', ['migrate']],
    ['config', ['migrate', 'a', 'b']],
    ['config', ['full', 'more']],
    ['config', ['__proto__']],
    ['config', ['\u001b[31m', '\n\nx']],
    ['config', ['migrate', 'FOLDER']],
    ['config', ['migrate', 'FOLDER/none']],
    ['config', ['migrate', 'FOLDER/binary']],
    ['config', ['migrate', 'FOLDER/large']],
    ['config', ['migrate', 'FOLDER/fifo']],
    ['config', ['migrate', '\u0000']],
    ['bus', ['dlq']],
    ['bus', ['nothing']],
    ['bus', ['__proto__', 'list']],
    ['bus', ['dlq', 'constructor']],
    ['bus', ['dlq', 'list', 'x']],
    ['bus', ['dlq', 'show']],
    ['bus', ['dlq', 'show', '\ud800', '--endpoint', 'http://127.0.0.1:1']],
    ['bus', ['dlq', 'replay']],
    ['bus', ['dlq', 'replay', 'x', '--all']],
    ['bus', ['dlq', 'list', '--endpoint']],
    ['bus', ['dlq', 'list', '--endpoint', 'nonsense\u001b[31m']],
    ['bus', ['dlq', 'list', '--endpoint', 'http://127.0.0.1:1']],
    ['bus', ['dlq', 'list', '--__proto__', 'x']],
    ['bus', ['dlq', 'list', '--json=yes']],
    ['load', ['nothing']],
    ['load', ['verify']],
    ['load', ['verify', 'a', 'b']],
    ['load', ['--__proto__.x=1']],
    ['load', ['--traces']],
    ['load', ['--traces', '-1']],
    ['load', ['--traces', '1e3']],
    ['load', ['--traces', '9'.repeat(400)]],
    ['load', ['--traces', '0']],
    ['load', ['--connections', '99999999']],
    ['load', ['--batch', '9'.repeat(30)]],
    ['load', ['--split', '1000000000']],
    ['load', ['--rate', 'Infinity']],
    ['load', ['--rate', 'NaN']],
    ['load', ['--shuffle', '-0.1']],
    ['load', ['--late', 'x:y:z']],
    ['load', ['--duration', '5']],
    ['load', ['--protocol', '\u001b[31mgrpc\n']],
    ['load', ['--seed', '\u0000']],
    ['load', ['--ledger', 'FOLDER', '--traces', '1', '--endpoint', '127.0.0.1:1']],
    ['load', ['verify', 'FOLDER']],
    ['load', ['verify', 'FOLDER/none']],
    ['load', ['verify', 'FOLDER/binary']],
    ['load', ['verify', '\u0000']],
    ['load', ['verify', 'FOLDER/binary', '--concurrency', '1e9']],
    ['blocks', ['nothing']],
    ['blocks', ['__proto__']],
    ['blocks', ['constructor']],
    ['blocks', ['list', '--__proto__.x=1']],
    ['blocks', ['list', '--config']],
    ['blocks', ['list', '--config', 'FOLDER']],
    ['blocks', ['list', '--config', 'FOLDER/fifo']],
    ['blocks', ['list', '\u001b[31m']],
    ['blocks', ['view']],
    ['blocks', ['view', '../../etc', 'passwd']],
    ['blocks', ['find', 'tenant', 'not hex\u0000']],
  ])('%s %j', async (command, args) => {
    expectPlain(await run(command, inFolder(args)))
  })

  it('say what is wrong when another program answers', async () => {
    const replies = ['[]', 'null', '{}', '{"deadLetters":5}', '<html>', '\u001b[31m']
    for (const body of replies) {
      const server = createServer((socket) =>
        socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`),
      )
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const said = await run('bus', ['dlq', 'list', '--endpoint', endpoint])
      expectPlain(said)
      expect(said.err).toContain('answers, but not as tempo-actors does')
      server.close()
    }
  })
})
