/** Owns the OpenTelemetry SDK: which exporter, which resource, and the flush at the end. Imported before everything else. */
import { diag, DiagConsoleLogger, DiagLogLevel } from '@opentelemetry/api'
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions'

// The exporters read OTEL_EXPORTER_OTLP_ENDPOINT themselves; without it they send to localhost:4317 and :4318.
const EXPORTERS = {
  grpc: () => new GrpcExporter(),
  'http/protobuf': () => new ProtobufExporter(),
  'http/json': () => new JsonExporter(),
}

// A span that cannot be delivered is worth a line.
diag.setLogger(new DiagConsoleLogger(), { logLevel: DiagLogLevel.WARN })

export const protocol = process.env.OTEL_EXPORTER_OTLP_PROTOCOL ?? 'grpc'
const exporter = EXPORTERS[protocol]?.()
if (!exporter) {
  const known = Object.keys(EXPORTERS).join(', ')
  throw new Error(`OTEL_EXPORTER_OTLP_PROTOCOL is '${protocol}', expected one of ${known}`)
}

export const serviceName = process.env.OTEL_SERVICE_NAME ?? 'hono-shop'

/** How many spans of each trace have ended, for those who want to check what the store has of it. */
export const spansByTrace = new Map()
const counter = {
  onStart() {},
  onEnd(span) {
    const { traceId } = span.spanContext()
    spansByTrace.set(traceId, (spansByTrace.get(traceId) ?? 0) + 1)
  },
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
}

/** Counting every trace is for a run that ends; a server would remember them for ever. */
const isCounting = process.argv.includes('--requests')

const provider = new NodeTracerProvider({
  resource: defaultResource().merge(
    resourceFromAttributes({ [ATTR_SERVICE_NAME]: serviceName, [ATTR_SERVICE_VERSION]: '1.0.0' }),
  ),
  spanProcessors: [new BatchSpanProcessor(exporter), ...(isCounting ? [counter] : [])],
})
// Registers the W3C propagator too: `traceparent` goes out and comes in.
provider.register()

/** Sends what is left. */
export function endTracing() {
  return provider.shutdown()
}
