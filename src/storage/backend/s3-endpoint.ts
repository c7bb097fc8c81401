/** Owns where the S3 client connects to: the endpoint and the region that the configuration means. */
import type { Config } from '../../config.js'

/**
 * Tempo writes endpoints without a scheme ("minio:9000") and AWS's own by name. The plain AWS name is dropped, so that
 * the SDK takes the region's; a regional one gives the region when none is set.
 */
export function s3Endpoint(s3: Config['storage']['s3']): {
  endpoint: string | undefined
  region: string
} {
  const named = /^(?:https?:\/\/)?s3[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com/
  const region = s3.region || (named.exec(s3.endpoint)?.[1] ?? 'us-east-1')
  if (s3.endpoint === '' || /^(?:https?:\/\/)?s3\.amazonaws\.com\/?$/.test(s3.endpoint)) {
    return { endpoint: undefined, region }
  }
  const hasScheme = /^https?:\/\//.test(s3.endpoint)
  const scheme = s3.insecure ? 'http' : 'https'
  return { endpoint: hasScheme ? s3.endpoint : `${scheme}://${s3.endpoint}`, region }
}
