/** Owns protobufjs (its only door): messages of a .proto text, encoded from and decoded to objects in protobuf's JSON form. For cold paths. */
import protobuf from 'protobufjs'

export interface Codec {
  /** Bytes of an object as protobuf's JSON has it: 64-bit numbers may be text, enums names; unknown keys are ignored. */
  encode(value: object): Uint8Array
  /** Such an object of bytes: 64-bit numbers as text, bytes as Uint8Array, absent fields absent. Throws on malformed bytes. */
  decode(bytes: Uint8Array): Record<string, unknown>
}

/** Parses a .proto text; returns the codec of each message by its full name. */
export function parseProto(text: string): (name: string) => Codec {
  const { root } = protobuf.parse(text, { keepCase: true })
  return (name) => {
    const type = root.lookupType(name)
    return {
      encode: (value) => type.encode(type.fromObject(value)).finish(),
      decode: (bytes) => type.toObject(type.decode(bytes), { longs: String, enums: String }),
    }
  }
}
