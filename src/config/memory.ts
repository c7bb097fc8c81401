/** Owns the way from the settings to the memory plan. */
import type { AvailableMemory } from '../memory/available.js'
import { allocatorOf } from '../memory/allocator.js'
import { planMemory, type MemoryPlan, type MemoryProblem } from '../memory/plan.js'
import { DEFAULT_RECV_MIB, type Settings } from './schema.js'

const MIB = 1 << 20

export function toMemory(
  { memory, actors, distributor, live_store, storage, overrides }: Settings,
  available: AvailableMemory,
  env: Readonly<Record<string, string | undefined>>,
): MemoryPlan | MemoryProblem {
  const { grpc } = distributor.receivers.otlp.protocols
  const versions = [storage.trace.block.version, overrides.defaults.storage.block_version]
  return planMemory({
    limit_bytes: memory.limit,
    available,
    partitions: actors.bus.partitions,
    builders: live_store.complete_block_concurrency,
    buildsParquet: versions.some((version) => version.startsWith('vParquet')),
    readsRemotely: storage.trace.backend === 's3',
    maxMessage_bytes: (grpc?.max_recv_msg_size_mib ?? DEFAULT_RECV_MIB) * MIB,
    allocator: allocatorOf(env),
    ring_bytes: actors.bus.ring_bytes,
    ingress_bytes: actors.bus.ingress_bytes,
    head_bytes: actors.head_bytes,
  })
}
