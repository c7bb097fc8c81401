/** Owns counting what code allocates in typed arrays: a length out of a file must not be believed before it is known that the file has as much. */

type Constructor = new (...args: unknown[]) => { byteLength: number }

const NAMES = ['ArrayBuffer', 'Uint8Array', 'Int8Array', 'Uint16Array', 'Int16Array', 'Uint32Array', 'Int32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array', 'Array'] as const // prettier-ignore

const BUFFERS = (['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const).map(
  (name) => [name, Buffer[name].bind(Buffer)] as const,
)

export class TooMuchMemory extends Error {}

export interface AllocationWatch {
  readonly allocated_bytes: number
  end(): void
}

/** Counts from now on; one that would go beyond `fatal_bytes` throws instead of taking the machine's memory. */
export function watchAllocations(fatal_bytes: number): AllocationWatch {
  const state = { allocated_bytes: 0 }
  const take = (bytes: number) => {
    state.allocated_bytes += bytes
    if (state.allocated_bytes > fatal_bytes) throw new TooMuchMemory(`${state.allocated_bytes} bytes are allocated`) // prettier-ignore
  }
  const holder = globalThis as unknown as Record<string, Constructor>
  const originals = NAMES.map((name) => [name, holder[name]!] as const)
  for (const [name, original] of originals) {
    const width = (original as unknown as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT
    const unit = width ?? (name === 'Array' ? 8 : 1)
    holder[name] = new Proxy(original, {
      construct(target, args: unknown[], newTarget) {
        const [first] = args
        if (typeof first === 'number') take(first * unit)
        else if (name !== 'Array' && typeof first === 'object' && first !== null && 'length' in first) take(Number(first.length) * unit) // prettier-ignore
        return Reflect.construct(target, args, newTarget as Constructor)
      },
    })
  }
  for (const [name, original] of BUFFERS) {
    Object.assign(Buffer, {
      [name]: (size: number, ...rest: []) => {
        take(size)
        return original(size, ...rest)
      },
    })
  }
  return {
    get allocated_bytes() {
      return state.allocated_bytes
    },
    end() {
      for (const [name, original] of originals) holder[name] = original
      Object.assign(Buffer, Object.fromEntries(BUFFERS))
    },
  }
}
