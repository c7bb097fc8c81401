/** Owns the words for what a file system refuses. */

export function fileReason(code: string | undefined, error: unknown): string {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full'
    case 'EACCES':
    case 'EPERM':
      return 'permission denied'
    case 'EROFS':
      return 'the filesystem is read-only'
    case 'EMFILE':
    case 'ENFILE':
      return 'too many open files'
    case 'ENOTDIR':
    case 'EEXIST':
      return 'a file is in the way of a folder'
    case 'ENOENT':
      return 'the folder above it is missing, and cannot be made'
    default:
      return code ?? (error instanceof Error ? error.message : String(error))
  }
}

/** What of a file system's error is a code, such as ENOSPC. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
