/** Owns what k6 sends: traces from a template, and random ones under ids that the test gives. Run by clients.test.ts in k6 with xk6-client-tracing. */
import tracing from 'k6/x/tracing'

const { ENDPOINT, PROTOCOL, PREFIX, TEMPLATED, IDS, SPANS } = __ENV

export const options = {
  scenarios: { once: { executor: 'shared-iterations', vus: 1, iterations: 1 } },
}

const client = new tracing.Client({
  endpoint: ENDPOINT,
  exporter: PROTOCOL === 'http' ? tracing.EXPORTER_OTLP_HTTP : tracing.EXPORTER_OTLP,
  compression: PROTOCOL === 'http' ? 'gzip' : 'none',
  tls: { insecure: true },
})

// Five spans in three services: two, one and two.
const template = {
  defaults: {
    attributeSemantics: tracing.SEMANTICS_HTTP,
    attributes: { 'test.peer': 'k6', numbers: ['one', 'two'] },
    randomAttributes: { count: 2, cardinality: 5 },
    randomEvents: {
      count: 1,
      exceptionCount: 0.5,
      randomAttributes: { count: 3, cardinality: 10 },
    },
    resource: { randomAttributes: { count: 3 } },
  },
  spans: [
    { service: `${PREFIX}-gate`, name: 'list-articles', duration: { min: 200, max: 900 } },
    { service: `${PREFIX}-gate`, name: 'authenticate', duration: { min: 50, max: 100 } },
    { service: `${PREFIX}-auth`, name: 'authenticate', attributes: { 'http.status_code': 403 } },
    {
      service: `${PREFIX}-articles`,
      name: 'list-articles',
      parentIdx: 0,
      links: [{ attributes: { 'link-type': 'parent-child' } }],
    },
    {
      service: `${PREFIX}-articles`,
      name: 'select-articles',
      attributeSemantics: tracing.SEMANTICS_DB,
    },
  ],
}

export default function () {
  const templated = new tracing.TemplatedGenerator(template)
  for (let i = 0; i < Number(TEMPLATED); i++) client.push(templated.traces())
  for (const id of IDS.split(',')) {
    const params = [
      {
        id,
        count: 1,
        resource_size: 100,
        spans: { count: Number(SPANS), size: 500, random_name: true },
      },
    ]
    client.push(new tracing.ParameterizedGenerator(params).traces())
  }
  // Waits for what is still queued.
  client.shutdown()
}
