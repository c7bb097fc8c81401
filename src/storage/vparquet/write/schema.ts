/**
 * Owns the schemas of vParquet4 and vParquet5 as Tempo writes them: every name, order, type, encoding and codec. vParquet4
 * wraps lists in `list.element`, vParquet5 repeats plain groups; a column's name here is its path without such wrappers.
 */
import {
  CODEC,
  CONVERTED_TYPE,
  LOGICAL_TYPE,
  REPETITION,
  TYPE,
  type Codec,
  type LogicalType,
  type Repetition,
  type SchemaElement,
  type Type,
} from '../../parquet/metadata.js'
import type { Layout, Leaf } from '../../parquet/write-values.js'
import type { DedicatedMapping } from './dedicated.js'

export type Version = 'vParquet4' | 'vParquet5'

export interface VparquetSchema {
  readonly elements: readonly SchemaElement[]
  readonly leaves: readonly Leaf[]
  /** Of each leaf, in their order: `rs.ss.Spans.Name`. */
  readonly names: readonly string[]
}

type Kind = 'bytes' | 'text' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'double' | 'bool'
interface LeafNode {
  readonly name: string
  readonly kind: Kind
  readonly layout: Layout
  readonly codec: Codec
  readonly repetition: Repetition
  /** Wrapped in a list of its own in vParquet4. */
  readonly isList: boolean
}
interface GroupNode {
  readonly name: string
  readonly isList: boolean
  readonly children: readonly Node[]
}
type Node = LeafNode | GroupNode

interface LeafOptions {
  readonly repetition?: Repetition
  readonly isList?: boolean
}

const { UNCOMPRESSED, SNAPPY, ZSTD } = CODEC
const { REQUIRED, OPTIONAL, REPEATED } = REPETITION

function leaf(name: string, kind: Kind, layout: Layout, codec: Codec, options: LeafOptions = {}): LeafNode {
  return { name, kind, layout, codec, repetition: REQUIRED, isList: false, ...options }
} // prettier-ignore

const group = (name: string, children: readonly Node[]): GroupNode => ({ name, isList: false, children }) // prettier-ignore
const list = (name: string, children: readonly Node[]): GroupNode => ({ name, isList: true, children }) // prettier-ignore

const coded = (name: string, options?: LeafOptions) =>
  leaf(name, 'text', 'dictionary', SNAPPY, options)
const text = (name: string) => leaf(name, 'text', 'delta', SNAPPY)
const id = (name: string) => leaf(name, 'bytes', 'delta', UNCOMPRESSED)
const delta = (name: string, kind: Kind) => leaf(name, kind, 'delta', UNCOMPRESSED)
const dropped = (name = 'DroppedAttributesCount') => leaf(name, 'int32', 'delta', SNAPPY)

const attributes = list('Attrs', [
  coded('Key'),
  leaf('IsArray', 'bool', 'plain', SNAPPY),
  coded('Value', { isList: true }),
  leaf('ValueInt', 'int64', 'plain', SNAPPY, { isList: true }),
  leaf('ValueDouble', 'double', 'plain', SNAPPY, { isList: true }),
  leaf('ValueBool', 'bool', 'plain', SNAPPY, { isList: true }),
  leaf('ValueUnsupported', 'text', 'delta', SNAPPY, { repetition: OPTIONAL }),
])

const scope = group('Scope', [coded('Name'), coded('Version'), attributes, dropped()])

/** The columns that attributes are assigned to; vParquet4 has all of them always, vParquet5 those in use. */
function dedicated(mapping: DedicatedMapping): Node[] {
  const children = mapping.columns.map(({ column, type, isBlob }) => {
    const repetition = mapping.isRepeated ? REPEATED : OPTIONAL
    if (type === 'int') return leaf(column, 'int64', 'plain', SNAPPY, { repetition })
    return isBlob
      ? leaf(column, 'text', 'delta', ZSTD, { repetition })
      : coded(column, { repetition })
  })
  return children.length === 0 ? [] : [group('DedicatedAttributes', children)]
}

export interface Mappings {
  readonly resource: DedicatedMapping
  readonly span: DedicatedMapping
  readonly event: DedicatedMapping
}

const optionals = (names: readonly string[]) =>
  names.map((name) => coded(name, { repetition: OPTIONAL }))

function resource(version: Version, { resource: mapping }: Mappings): GroupNode {
  if (version === 'vParquet5') {
    return group('Resource', [coded('ServiceName'), attributes, dropped(), ...dedicated(mapping)])
  }
  const known = ['Cluster', 'Namespace', 'Pod', 'Container', 'K8sClusterName', 'K8sNamespaceName', 'K8sPodName', 'K8sContainerName'] // prettier-ignore
  return group('Resource', [
    attributes,
    dropped(),
    coded('ServiceName'),
    ...optionals(known),
    ...dedicated(mapping),
  ])
}

function spans(version: Version, { span: mapping, event }: Mappings): GroupNode {
  const isNew = version === 'vParquet5'
  const events = list('Events', [
    delta('TimeSinceStartNano', 'uint64'),
    coded('Name'),
    attributes,
    dropped(),
    ...(isNew ? dedicated(event) : []),
  ])
  const links = list('Links', [id('TraceID'), id('SpanID'), text('TraceState'), attributes, dropped()]) // prettier-ignore
  const http = isNew
    ? []
    : [
        ...optionals(['HttpMethod', 'HttpUrl']),
        leaf('HttpStatusCode', 'int64', 'plain', SNAPPY, { repetition: OPTIONAL }),
      ]
  const rounded = isNew
    ? [15, 60, 300, 3600].map((step) => delta(`StartTimeRounded${step}`, 'uint32'))
    : []
  return list('Spans', [
    id('SpanID'),
    id('ParentSpanID'),
    delta('ParentID', 'int32'),
    delta('NestedSetLeft', 'int32'),
    delta('NestedSetRight', 'int32'),
    ...(isNew ? [delta('ChildCount', 'int32')] : []),
    coded('Name'),
    delta('Kind', 'int64'),
    text('TraceState'),
    delta('StartTimeUnixNano', 'uint64'),
    delta('DurationNano', 'uint64'),
    delta('StatusCode', 'int64'),
    text('StatusMessage'),
    attributes,
    dropped(),
    events,
    leaf('DroppedEventsCount', 'int32', 'plain', SNAPPY),
    links,
    leaf('DroppedLinksCount', 'int32', 'plain', SNAPPY),
    ...http,
    ...dedicated(mapping),
    ...rounded,
  ])
}

function traceChildren(version: Version, mappings: Mappings): Node[] {
  const isNew = version === 'vParquet5'
  const counts = [delta('SpanCount', 'uint32'), delta('ErrorCount', 'uint32')]
  const stats = isNew
    ? [list('ServiceStats', [coded('ServiceName'), ...counts])]
    : [group('ServiceStats', [])]
  const scopes = [scope, spans(version, mappings), ...(isNew ? [delta('SpanCount', 'int32')] : [])]
  return [
    id('TraceID'),
    text('TraceIDText'),
    delta('StartTimeUnixNano', 'uint64'),
    delta('EndTimeUnixNano', 'uint64'),
    delta('DurationNano', 'uint64'),
    leaf('RootServiceName', 'text', 'dictionary', UNCOMPRESSED),
    leaf('RootSpanName', 'text', 'dictionary', UNCOMPRESSED),
    ...stats,
    list('rs', [resource(version, mappings), list('ss', scopes)]),
  ]
}

/** Makes the flat list of elements that a footer has, and the leaves with their levels. */
class SchemaBuilder {
  readonly elements: SchemaElement[] = []
  readonly leaves: Leaf[] = []
  readonly names: string[] = []
  constructor(readonly version: Version) {}

  build(children: readonly Node[]): VparquetSchema {
    this.elements.push({ name: 'Trace', numChildren: children.length })
    for (const child of children) this.#node(child, [], '', 0, 0)
    return { elements: this.elements, leaves: this.leaves, names: this.names }
  }

  #node(node: Node, path: readonly string[], prefix: string, rep: number, def: number): void {
    if ('kind' in node) this.#leafNode(node, path, prefix, rep, def)
    else if (node.name === 'ServiceStats' && this.version === 'vParquet4') this.#serviceMap()
    else this.#group(node, path, prefix, rep, def)
  }

  #group(node: GroupNode, path: readonly string[], prefix: string, rep: number, def: number): void {
    const { name, isList, children } = node
    const inner = [...path, name]
    if (isList && this.version === 'vParquet4') {
      this.#wrap(name)
      inner.push('list', 'element')
      this.#element({ name: 'element', repetition: REQUIRED, numChildren: children.length })
    } else {
      const repetition = isList ? REPEATED : REQUIRED
      this.#element({ name, repetition, numChildren: children.length })
    }
    const more = isList ? 1 : 0
    for (const child of children) this.#node(child, inner, `${prefix}${name}.`, rep + more, def + more) // prettier-ignore
  }

  #leafNode(node: LeafNode, path: readonly string[], prefix: string, rep: number, def: number) {
    const { name, isList } = node
    if (isList && this.version === 'vParquet4') {
      this.#wrap(name)
      const inner = [...path, name, 'list', 'element']
      this.#leaf({ ...node, name: 'element' }, inner, `${prefix}${name}`, rep + 1, def + 1)
      return
    }
    const repetition = isList ? REPEATED : node.repetition
    const moreRep = repetition === REPEATED ? 1 : 0
    const moreDef = repetition === REQUIRED ? 0 : 1
    this.#leaf({ ...node, repetition }, [...path, name], prefix + name, rep + moreRep, def + moreDef) // prettier-ignore
  }

  /** The two outer groups of a list. */
  #wrap(name: string): void {
    this.#element({
      name,
      repetition: REQUIRED,
      numChildren: 1,
      convertedType: CONVERTED_TYPE.LIST,
      logicalType: { id: LOGICAL_TYPE.LIST },
    })
    this.#element({ name: 'list', repetition: REPEATED, numChildren: 1 })
  }

  /** vParquet4 has services in a map. */
  #serviceMap(): void {
    const path = ['ServiceStats', 'key_value']
    this.#element({
      name: 'ServiceStats',
      repetition: REQUIRED,
      numChildren: 1,
      convertedType: CONVERTED_TYPE.MAP,
      logicalType: { id: LOGICAL_TYPE.MAP },
    })
    this.#element({ name: 'key_value', repetition: REPEATED, numChildren: 2 })
    const key = leaf('key', 'text', 'delta', UNCOMPRESSED)
    this.#leaf(key, [...path, 'key'], 'ServiceStats.ServiceName', 1, 1)
    this.#element({ name: 'value', repetition: REQUIRED, numChildren: 2 })
    for (const name of ['SpanCount', 'ErrorCount']) {
      this.#leaf(delta(name, 'uint32'), [...path, 'value', name], `ServiceStats.${name}`, 1, 1)
    }
  }

  #leaf(node: LeafNode, path: readonly string[], name: string, rep: number, def: number): void {
    const { type, ...annotation } = TYPES[node.kind]
    this.#element({ type, repetition: node.repetition, name: node.name, ...annotation })
    this.leaves.push({
      path,
      type,
      isUnsigned: node.kind.startsWith('u'),
      layout: node.layout,
      codec: node.codec,
      maxRepetition: rep,
      maxDefinition: def,
    })
    this.names.push(name)
  }

  #element(element: SchemaElement): void {
    this.elements.push(element)
  }
}

interface TypeInfo {
  readonly type: Type
  readonly typeLength?: number
  readonly convertedType?: number
  readonly logicalType?: LogicalType
}

const integer = (type: Type, bits: number, isSigned: boolean, convertedType: number): TypeInfo => ({
  type,
  typeLength: bits,
  convertedType,
  logicalType: { id: LOGICAL_TYPE.INTEGER, bitWidth: bits, isSigned },
})

const TYPES: Readonly<Record<Kind, TypeInfo>> = {
  bytes: { type: TYPE.BYTE_ARRAY },
  text: {
    type: TYPE.BYTE_ARRAY,
    convertedType: CONVERTED_TYPE.UTF8,
    logicalType: { id: LOGICAL_TYPE.STRING },
  },
  int32: integer(TYPE.INT32, 32, true, CONVERTED_TYPE.INT_32),
  uint32: integer(TYPE.INT32, 32, false, CONVERTED_TYPE.UINT_32),
  int64: integer(TYPE.INT64, 64, true, CONVERTED_TYPE.INT_64),
  uint64: integer(TYPE.INT64, 64, false, CONVERTED_TYPE.UINT_64),
  double: { type: TYPE.DOUBLE, typeLength: 64 },
  bool: { type: TYPE.BOOLEAN, typeLength: 1 },
}

/** The schema of a block whose attributes have these columns of their own. */
export function schemaOf(version: Version, mappings: Mappings): VparquetSchema {
  return new SchemaBuilder(version).build(traceChildren(version, mappings))
}
