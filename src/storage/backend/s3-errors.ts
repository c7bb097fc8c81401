/** Owns the words for what S3 answers or fails with: which object store error is final, and what the operator can do about it. */
import { BackendError, ObjectNotFound, ObjectTooShort } from './backend.js'

/** The keys of the configuration that an error may have to name. */
export interface S3Place {
  bucket: string
  /** With its scheme; or AWS's name of the region. */
  endpoint: string
}

const NETWORK: Record<string, string> = {
  ECONNREFUSED: 'the connection was refused: is the server running there?',
  ECONNRESET: 'the connection was closed by the other side',
  EPIPE: 'the connection was closed by the other side',
  ETIMEDOUT: 'the connection timed out',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ENOTFOUND: 'the host name does not exist (storage.trace.s3.endpoint)',
  EAI_AGAIN: 'the host name cannot be resolved now',
  TimeoutError: 'no answer in time',
  AbortError: 'no answer in time',
  EPROTO: 'the server does not speak TLS there: set storage.trace.s3.insecure: true for plain HTTP',
}

const CREDENTIALS = 'check storage.trace.s3.access_key and secret_key'

/** Codes of S3's answers that no retry cures, with the cure. */
function finalText(code: string, place: S3Place): string | undefined {
  switch (code) {
    case 'NoSuchBucket':
      return `the bucket "${place.bucket}" does not exist: create it, or correct storage.trace.s3.bucket`
    case 'InvalidBucketName':
      return `"${place.bucket}" is not a bucket name (storage.trace.s3.bucket)`
    case 'InvalidAccessKeyId':
      return `the access key is not known there: ${CREDENTIALS}`
    case 'SignatureDoesNotMatch':
      return `the secret key does not fit the access key: ${CREDENTIALS}`
    case 'AccessDenied':
    case 'Forbidden':
    case 'AllAccessDisabled':
      return `access to the bucket "${place.bucket}" is denied: the key needs the rights to list, get, put and delete`
    case 'CredentialsProviderError':
      return 'no credentials were found: set storage.trace.s3.access_key and secret_key'
    case 'AuthorizationHeaderMalformed':
    case 'PermanentRedirect':
    case 'IllegalLocationConstraintException':
      return 'the bucket is in another region: set storage.trace.s3.region'
    default:
      return undefined
  }
}

/** What was thrown by the SDK or by reading a body, as a `BackendError` with a sentence. */
export function s3Failure(
  what: string,
  path: string,
  place: S3Place,
  error: unknown,
): BackendError {
  if (error instanceof BackendError) return error
  const { code, status, message } = factsOf(error)
  if (code === 'NoSuchKey' || (code === 'NotFound' && status === 404)) {
    return new ObjectNotFound(path)
  }
  const options = { cause: error }
  const at = `${what}: ${place.endpoint}`
  const network = NETWORK[code]
  if (network !== undefined) return new BackendError(`${at}: ${network}`, true, options)
  const final = finalText(code, place)
  if (final !== undefined) return new BackendError(`${at}: ${final}`, false, options)
  if (code === 'InvalidRange') {
    return new ObjectTooShort(path, 'the range lies behind its end')
  }
  if (code === 'RequestTimeTooSkewed') {
    const text = `${at}: the clocks of this machine and of the server differ too much`
    return new BackendError(text, true, options)
  }
  const isFinal = status !== undefined && status < 500 && status !== 429 && status !== 408
  const answer = status === undefined ? code : `HTTP ${status} ${code}`
  return new BackendError(`${at}: ${answer}: ${message}`, !isFinal, options)
}

interface Facts {
  code: string
  status: number | undefined
  message: string
}

/** The SDK names errors in `name`, Node in `code`; an AggregateError (several addresses tried) holds the real ones. */
function factsOf(error: unknown): Facts {
  if (!(error instanceof Error)) return { code: 'error', status: undefined, message: String(error) }
  if (error instanceof AggregateError && error.errors.length > 0) return factsOf(error.errors[0])
  const { code, $metadata } = error as { code?: unknown; $metadata?: { httpStatusCode?: number } }
  const isNetwork = typeof code === 'string' && code in NETWORK
  const cause: unknown = error.cause
  if (!isNetwork && !(error.name in NETWORK) && cause instanceof Error && $metadata === undefined) {
    return factsOf(cause)
  }
  return {
    code: isNetwork ? code : error.name,
    status: $metadata?.httpStatusCode,
    message: error.message,
  }
}
