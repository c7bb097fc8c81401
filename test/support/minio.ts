/** Owns a real MinIO server for tests: on a free port, in a temporary folder, with a bucket; stopped by its pid. */
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../../src/config.js'
import { freePort } from '../../src/bench/free-port.js'
import { peerPath } from './peers.js'

process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'

const READY_MS = 30_000
const POLL_MS = 50
const STOP_MS = 10_000
const USER = 'test-access-key'
const PASSWORD = 'test-secret-key'

export class Minio {
  private child: ChildProcess | undefined
  private output = ''

  private constructor(
    private readonly program: string,
    private readonly folder: string,
    readonly port: number,
  ) {}

  /** Starts a server; see `peerPath` for whether there is one. */
  static async start(): Promise<Minio> {
    const program = peerPath('minio')
    if (program === undefined) throw new Error('minio is not built: run scripts/peers.sh minio')
    const folder = await mkdtemp(join(tmpdir(), 'minio-'))
    const minio = new Minio(program, folder, await freePort())
    await minio.resume()
    return minio
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  /** The configuration of a backend in this server's bucket. */
  config(bucket: string, changes: Partial<Config['storage']['s3']> = {}): Config['storage']['s3'] {
    return {
      bucket,
      endpoint: this.endpoint,
      region: '',
      prefix: '',
      access_key: USER,
      secret_key: PASSWORD,
      insecure: true,
      forcepathstyle: false,
      hedge_requests_at_ms: 0,
      hedge_requests_up_to: 2,
      ...changes,
    }
  }

  async createBucket(name: string): Promise<void> {
    const client = this.client()
    await client.send(new CreateBucketCommand({ Bucket: name }))
    client.destroy()
  }

  /** How many multipart uploads were begun and neither finished nor cancelled. */
  async openUploads(bucket: string): Promise<number> {
    const client = this.client()
    const reply = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
    client.destroy()
    return reply.Uploads?.length ?? 0
  }

  private client(): S3Client {
    return new S3Client({
      endpoint: `http://${this.endpoint}`,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: USER, secretAccessKey: PASSWORD },
    })
  }

  /** Starts the server again on the same port and data. */
  async resume(): Promise<void> {
    const child = spawn(
      this.program,
      ['server', this.folder, '--address', this.endpoint, '--console-address', '127.0.0.1:0'],
      {
        env: { ...process.env, MINIO_ROOT_USER: USER, MINIO_ROOT_PASSWORD: PASSWORD },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    this.child = child
    const collect = (chunk: Buffer) => (this.output = (this.output + chunk.toString()).slice(-4000))
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    const killWithUs = () => child.kill('SIGKILL')
    process.once('exit', killWithUs)
    child.once('exit', () => process.off('exit', killWithUs))
    await this.waitUntilReady(child)
  }

  /** Stops the server and keeps its data. */
  async suspend(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await gone
    clearTimeout(kill)
  }

  async stop(): Promise<void> {
    await this.suspend('SIGKILL')
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  private async waitUntilReady(child: ChildProcess): Promise<void> {
    const until = Date.now() + READY_MS
    while (Date.now() < until && child.exitCode === null) {
      const isReady = await fetch(`http://${this.endpoint}/minio/health/ready`).then(
        (reply) => reply.ok,
        () => false,
      )
      if (isReady) return
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    throw new Error(`minio did not become ready on ${this.endpoint}:\n${this.output}`)
  }
}
