/** Owns the server's process: configuration, banner, shared memory, the supervisor, signals and exit codes. */
import { loadConfig } from '../config/load.js'
import { describeConfig, describeSources } from '../config/describe.js'
import { ConfigError } from '../config/error.js'
import { helpText, parseCommandLine, type CommandLine } from '../config/flags.js'
import type { Config } from '../config.js'
import { releaseDeadOwner } from '../bus/ring.js'
import { Supervisor } from '../bus/supervisor.js'
import { buildInfo } from '../lib/build-info.js'
import { disarmClockSteps } from '../lib/clock-step.js'
import { tuneEngine } from '../lib/engine.js'
import { disarmFailpoints } from '../lib/failpoints.js'
import { createLog, errorText, type Log, type LogFormat } from '../lib/log.js'
import { Metrics } from '../lib/metrics.js'
import { oneLine } from '../lib/one-line.js'
import { Pressure } from '../lib/pressure.js'
import { systemClock } from '../lib/time.js'
import { LimitsPage } from '../limits/page.js'
import { OverridesReloader } from '../limits/reloader.js'
import { trimOf } from '../memory/allocator.js'
import { MemoryWatch } from '../memory/watch.js'
import { HeadArena } from '../storage/head/arena.js'
import { readAppliedOffsets } from '../storage/wal/applied.js'
import { claimFormat } from '../storage/wal/folder-format.js'
import {
  children,
  createSharedMemory,
  PRESSURE,
  PROCESS_METRICS,
  type SharedMemory,
} from '../topology.js'
import { checkBackend } from './backend-check.js'
import { claimFolder } from './folder-lock.js'
import { askHealth } from './health.js'
import { processOutput, type Output } from './output.js'
import { checkPartitions, checkPorts, checkStates, withWalFolder } from './preflight.js'

const FAILED = 1

/** Runs until a signal or an escalation; resolves with the exit code. */
export async function serve(
  args: readonly string[],
  output: Output = processOutput,
): Promise<number> {
  const { out, err } = output
  try {
    const line = parseCommandLine(args)
    if (line.action === 'help') out(helpText())
    else if (line.action === 'version') out(`tempo-actors, version ${buildInfo().version}\n`)
    else if (line.action === 'health') return await askHealth(line.healthUrl, output)
    else return await run(line, output)
    return 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const problem of error.problems) err(`tempo-actors: ${oneLine(problem)}\n`)
    return FAILED
  }
}

async function run(line: CommandLine, output: Output): Promise<number> {
  const loaded = loadConfig({
    files: line.files,
    expandEnv: line.expandEnv,
    settings: line.settings,
  })
  const { config } = loaded
  const limits = tenantLimits(config, line)
  const warnings = [...line.warnings, ...loaded.warnings, ...(await limits.load())]
  if (line.action === 'verify') {
    for (const warning of warnings) output.err(`warning: ${warning}\n`)
    if (warnings.length === 0) output.out('configuration is fine\n')
    return warnings.length === 0 ? 0 : FAILED
  }
  if (!config.actors.chaos) disarmChaos()
  tuneEngine()
  const format = logFormat(config)
  const log = createLog({
    ...{ level: config.server.log_level, format },
    ...(output === processOutput ? {} : { write: output.err }),
  })
  const text = [...describeSources(loaded), ...describeConfig(config)]
  banner(text, format, log)
  for (const warning of warnings) log.warn(warning)
  const { wal_path } = config.live_store
  try {
    const release = await withWalFolder(wal_path, () => claimFolder(wal_path, log))
    try {
      const memory = createSharedMemory(config, await prepare(config, log))
      limits.start(new LimitsPage(memory.limits!), log)
      return await supervise(config, memory, log, format)
    } finally {
      await limits.stop()
      await release()
    }
  } catch (error) {
    log.error('cannot start', { error: errorText(error) })
    return FAILED
  }
}

/** The tenants' own limits, from a file that is read again and again. */
function tenantLimits({ overrides }: Config, { expandEnv }: CommandLine): OverridesReloader {
  return new OverridesReloader({
    path: overrides.per_tenant_override_config,
    period_ms: overrides.per_tenant_override_period_ms,
    expandEnv,
    clock: systemClock,
  })
}

/** Looks at the ports, the folders and the backend once, in plain sight, before any actor does; returns the WAL's offsets. */
async function prepare(config: Config, log: Log): Promise<number[]> {
  const clock = systemClock
  const { wal_path } = config.live_store
  const { wal_sync: sync, bus } = config.actors
  await checkPorts(config)
  const offsets = await withWalFolder(wal_path, () => {
    claimFormat(wal_path, buildInfo().version)
    return readAppliedOffsets(wal_path, bus.partitions, { sync, clock, log })
  })
  await checkPartitions(wal_path, bus.partitions, { sync, clock, log })
  await checkStates(wal_path, bus.partitions, { clock, log })
  await checkBackend(config.storage, log)
  return offsets
}

async function supervise(
  config: Config,
  memory: SharedMemory,
  log: Log,
  format: LogFormat,
): Promise<number> {
  const started = systemClock.monotonic()
  let exit: (code: number) => void = () => {}
  const over = new Promise<number>((resolve) => (exit = resolve))
  const arena = new HeadArena(memory.arena!)
  const supervisor = new Supervisor({
    children: children(config, memory),
    log,
    actorLog: { level: config.server.log_level, format },
    chaos: config.actors.chaos,
    stop_timeout_ms: config.actors.supervisor.drain_timeout_ms,
    hooks: {
      onActorDead: (actorId, name) => {
        for (const [key, buffer] of Object.entries(memory)) {
          if (/^(ingress|traces)-/.test(key)) releaseDeadOwner(buffer, actorId)
        }
        const querier = /^querier-(\d+)$/.exec(name)
        if (querier) arena.clearReader(Number(querier[1]))
      },
      onExit: (code) => exit(code),
    },
  })
  const watch = new MemoryWatch({
    plan: config.memory,
    pressure: new Pressure(memory[PRESSURE]!),
    metrics: new Metrics(memory[PROCESS_METRICS]),
    clock: systemClock,
    log,
    trim: trimOf(process.env),
  })
  void watch.run()
  const stop = onSignals(supervisor, log)
  const isUp = await supervisor.start()
  if (isUp) log.info('ready', { after_ms: Math.round(systemClock.monotonic() - started) })
  const code = await over
  watch.stop()
  stop()
  return code
}

/** The first signal drains, the second ends at once. */
function onSignals(supervisor: Supervisor, log: Log): () => void {
  let isStopping = false
  const handle = (signal: NodeJS.Signals) => {
    if (isStopping) {
      log.warn('stopping at once', { signal })
      void supervisor.kill()
      return
    }
    isStopping = true
    log.info('draining', { signal })
    void supervisor.stop()
  }
  process.on('SIGINT', handle)
  process.on('SIGTERM', handle)
  return () => {
    process.off('SIGINT', handle)
    process.off('SIGTERM', handle)
  }
}

/** What tests set in the environment is for tests. */
function disarmChaos(): void {
  disarmFailpoints()
  disarmClockSteps()
}

function logFormat(config: Config): LogFormat {
  if (config.server.log_format !== 'auto') return config.server.log_format
  return process.stderr.isTTY ? 'pretty' : 'logfmt'
}

/** People get lines, programs get facts. */
function banner(lines: readonly string[], format: LogFormat, log: Log): void {
  const { version, nodeVersion } = buildInfo()
  if (format === 'pretty') {
    process.stderr.write(
      `\n  tempo-actors ${version}  (node ${nodeVersion}, pid ${process.pid})\n\n`,
    )
    for (const line of lines) process.stderr.write(`  ${line}\n`)
    process.stderr.write('\n')
    return
  }
  log.info('tempo-actors', { version, node: nodeVersion, pid: process.pid })
  for (const line of lines) {
    const [subject, ...words] = line.split(/\s+/)
    log.info('config', { [subject!]: words.join(' ') })
  }
}
