/** Owns a real Tempo under measurement: its single binary on free ports, over a local folder of blocks. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.js'
import { Program } from './program.js'
import { flushedBlocks, type FlushedBlocks } from './tempo-blocks.js'

const READY_TIMEOUT_MS = 120_000

interface Ports {
  readonly http: number
  readonly grpc: number
  readonly gossip: number
  readonly otlp: number
}

export interface TempoOptions {
  /** May put blocks into its backend before it starts. */
  readonly fill?: (blocks: string) => void
  readonly isMultitenant?: boolean
}

export class BenchTempo {
  private constructor(
    private readonly program: Program,
    private readonly folder: string,
    readonly ready_ms: number,
    private readonly ports: Ports,
  ) {}

  static async start(
    command: string,
    { fill = () => undefined, isMultitenant = false }: TempoOptions = {},
  ): Promise<BenchTempo> {
    const folder = mkdtempSync(join(tmpdir(), 'tempo-bench-'))
    mkdirSync(join(folder, 'blocks'))
    fill(join(folder, 'blocks'))
    const ports: Ports = {
      http: await freePort(),
      grpc: await freePort(),
      gossip: await freePort(),
      otlp: await freePort(),
    }
    const config = join(folder, 'tempo.yaml')
    writeFileSync(config, configuration(folder, ports, isMultitenant))
    const { program, ready_ms } = await Program.start({
      command,
      args: [`-config.file=${config}`],
      folder,
      readyUrl: `http://127.0.0.1:${ports.http}/ready`,
      readyTimeout_ms: READY_TIMEOUT_MS,
      stopSignal: 'SIGTERM',
    })
    return new BenchTempo(program, folder, ready_ms, ports)
  }

  /** Of its OTLP receiver over gRPC. */
  get otlp(): number {
    return this.ports.otlp
  }

  get pid(): number {
    return this.program.pid
  }

  get base(): string {
    return `http://127.0.0.1:${this.ports.http}`
  }

  /** The folder of its backend. */
  get blocks(): string {
    return join(this.folder, 'blocks')
  }

  flushed(): FlushedBlocks {
    return flushedBlocks(this.blocks)
  }

  stop(): Promise<void> {
    return this.program.stop()
  }
}

/** Such as `3.0.1`; empty when it was built without one. */
export function tempoVersion(command: string): string {
  const text = execFileSync(command, ['-version']).toString()
  return /version ([^\s,(]+)/.exec(text)?.[1] ?? ''
}

/**
 * Tempo's own defaults, but for what the measurement needs: limits as far away as those of our store in the same run, no
 * compaction (it would cost Tempo CPU that is none of the flush), the times of spans believed also where a busy machine
 * sends them minutes late, no reports to its makers, all below one folder.
 */
function configuration(
  folder: string,
  { http, grpc, gossip, otlp }: Ports,
  isMultitenant: boolean,
): string {
  const at = (name: string) => JSON.stringify(join(folder, name))
  return `target: all
multitenancy_enabled: ${isMultitenant}
server: { http_listen_address: 127.0.0.1, http_listen_port: ${http}, grpc_listen_address: 127.0.0.1, grpc_listen_port: ${grpc}, log_level: warn }
memberlist: { bind_addr: [127.0.0.1], bind_port: ${gossip}, advertise_addr: 127.0.0.1 }
distributor: { receivers: { otlp: { protocols: { grpc: { endpoint: "127.0.0.1:${otlp}", max_recv_msg_size_mib: 16 } } } } }
live_store: { wal: { path: ${at('live')}, ingestion_time_range_slack: 30m }, shutdown_marker_dir: ${at('marker')}, ring: { instance_addr: 127.0.0.1, instance_interface_names: [lo] } }
block_builder: { wal: { path: ${at('builder')} } }
backend_scheduler: { local_work_path: ${at('work')} }
query_frontend: { search: { query_backend_after: 31s }, metrics: { query_backend_after: 31s } }
usage_report: { reporting_enabled: false }
storage: { trace: { backend: local, local: { path: ${at('blocks')} }, wal: { path: ${at('wal')} }, blocklist_poll: 5s } }
overrides:
  defaults:
    ingestion: { rate_limit_bytes: 1000000000, burst_size_bytes: 1000000000, max_traces_per_user: 0 }
    global: { max_bytes_per_trace: 0 }
    compaction: { compaction_disabled: true, block_retention: 1000000h }
`
}
