/** `tempo-actors blocks` over a real bucket, and beside the real tempo-cli. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { BlocksFolder, runBlocks } from '../cli/blocks-folder.js'
import { blockId } from '../storage/compaction/blocks.js'
import { Minio } from '../support/minio.js'
import { peerPath, peerTitle } from '../support/peers.js'
import { shopTraces } from '../support/shop-traces.js'

interface Listed {
  tenants: { blocks: { id: string; format: string; spans: number; flags: string[] }[] }[]
}

describe.skipIf(!peerPath('minio'))(peerTitle('blocks in MinIO', 'minio'), () => {
  let minio: Minio
  let folder: BlocksFolder
  beforeAll(async () => {
    minio = await Minio.start()
    await minio.createBucket('traces')
    folder = await BlocksFolder.make()
  })
  afterAll(async () => {
    await minio.stop()
    await folder.remove()
  })

  it('are listed, read, converted and verified as those of a folder', async () => {
    const { access_key, secret_key, endpoint } = minio.config('traces')
    const s3 = ['--s3-endpoint', `http://${endpoint}`, '--s3-user', access_key, '--s3-pass', secret_key] // prettier-ignore
    const bucket = ['--bucket', 's3://traces/a/b', ...s3]
    const good = async (...args: string[]) => {
      const run = await runBlocks(args)
      expect([args, run.code, run.err]).toEqual([args, 0, ''])
      return run.out
    }
    const made = await folder.add(blockId(1), shopTraces({ traces: 50 }))
    await good('convert', 'shop', blockId(1), '--to', 'vParquet4', '--path', folder.path, '--out', 's3://traces/a/b', ...s3) // prettier-ignore
    const list = async (...args: string[]) =>
      (JSON.parse(await good('list', 'shop', '--json', ...bucket, ...args)) as Listed).tenants[0]!.blocks // prettier-ignore
    const [first] = await list()
    expect(first).toMatchObject({ format: 'vParquet4', spans: made.totalSpans, flags: [] })
    await good('convert', 'shop', first!.id, '--to', 'blockpack', '--replace', ...bucket)
    const after = await list('--include-compacted', '--sort', 'version')
    expect(after.map(({ format, flags }) => [format, flags])).toEqual([
      ['blockpack1', []],
      ['vParquet4', ['compacted']],
    ])
    expect(await good('verify', ...bucket)).toContain('1 block, all good')
    const here = await good('search', 'shop', '{ status = error }', '--json', '--path', folder.path)
    const there = await good('search', 'shop', '{ status = error }', '--json', ...bucket)
    const traces = (json: string) => (JSON.parse(json) as { traces: unknown }).traces
    expect(traces(there)).toEqual(traces(here))
    const wrong = await runBlocks(['list', '--bucket', 's3://other', ...s3])
    expect([wrong.code, wrong.err]).toEqual([1, expect.stringMatching(/^tempo-actors blocks: .*other/)]) // prettier-ignore
  })
})

describe.skipIf(!peerPath('tempo-cli'))(peerTitle('blocks beside tempo-cli', 'tempo-cli'), () => {
  it('converted to parquet are listed and analysed by it', async () => {
    const folder = await BlocksFolder.make()
    try {
      const made = await folder.add(blockId(1), shopTraces({ traces: 50 }))
      const out = `${folder.path}/tempo`
      for (const to of ['vParquet4', 'vParquet5']) {
        const run = await folder.run('convert', 'shop', blockId(1), '--to', to, '--out', out)
        expect([run.code, run.err]).toEqual([0, ''])
      }
      const cli = async (...args: string[]) => {
        const all = [...args, '--backend=local', '--bucket', out]
        const { stdout, stderr } = await promisify(execFile)(peerPath('tempo-cli')!, all)
        return stdout + stderr
      }
      const listed = JSON.parse((await runBlocks(['list', '--json', '--path', out])).out) as Listed
      const theirs = await cli('list', 'blocks', 'shop')
      for (const { id, format, spans } of listed.tenants[0]!.blocks) {
        expect(spans).toBe(made.totalSpans)
        expect(theirs).toMatch(new RegExp(`${id} .* ${format} `))
        expect(await cli('analyse', 'block', 'shop', id)).toContain('name: http.route')
      }
    } finally {
      await folder.remove()
    }
  })
})
