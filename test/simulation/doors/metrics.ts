/** Owns metrics as the actors see them in the simulation: nobody reads them, and they cost nothing. */
class Series {
  inc(): void {}
  dec(): void {}
  set(): void {}
  observe(): void {}
  labels(): this {
    return this
  }
}
export { Series as Counter, Series as Gauge, Series as Histogram }
export { Series as CounterSeries, Series as GaugeSeries, Series as HistogramSeries }

const SERIES = new Series()

export const MetricsPage = { create: (): SharedArrayBuffer => new SharedArrayBuffer(8) }
export const SECONDS_BUCKETS: readonly number[] = []
export const exponentialBuckets = (): number[] => []

export class Metrics {
  counter(): Series {
    return SERIES
  }
  gauge(): Series {
    return SERIES
  }
  histogram(): Series {
    return SERIES
  }
}
