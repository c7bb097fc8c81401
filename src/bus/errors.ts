/** Owns the errors of the data plane: each has a stable code and says what was wrong, where, and the numbers. */

/** What every error of the bus is: `code` is stable, the text is for people. */
export class BusError extends Error {
  constructor(
    readonly code: string,
    text: string,
  ) {
    super(text)
    this.name = new.target.name
  }
}

/** Shared memory that is not what its opener takes it for: another format, version or size. */
export class BusFormatError extends BusError {
  constructor(text: string) {
    super('BUS_FORMAT', text)
  }
}

/** Bytes between committed and tail that no appender can have written: memory is corrupt, the actor must not go on. */
export class BusCorruptError extends BusError {
  constructor(text: string) {
    super('BUS_CORRUPT', text)
  }
}

/** Someone else owns the group now. Not to be retried: the actor was replaced and must stop. */
export class Fenced extends BusError {
  constructor(text: string) {
    super('BUS_FENCED', text)
  }
}

/** A topic, partition or group that does not exist. */
export class BusNameError extends BusError {
  constructor(text: string) {
    super('BUS_NAME', text)
  }
}
