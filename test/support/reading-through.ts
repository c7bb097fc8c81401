/** Owns a backend for tests whose reads go through a reader that stands before it. */
import type { Backend, BackendReader } from '../../src/storage/backend/backend.js'

export function readingThrough(backend: Backend, reader: BackendReader): Backend {
  return {
    kind: backend.kind,
    get: (path, max_bytes) => reader.get(path, max_bytes),
    getRange: (path, offset, length) => reader.getRange(path, offset, length),
    put: (path, body) => backend.put(path, body),
    putFile: (path, file) => backend.putFile(path, file),
    list: (prefix) => backend.list(prefix),
    listBlocks: (tenant) => backend.listBlocks(tenant),
    delete: (path) => backend.delete(path),
    deleteBlock: (tenant, blockId) => backend.deleteBlock(tenant, blockId),
    close: () => backend.close(),
  }
}
