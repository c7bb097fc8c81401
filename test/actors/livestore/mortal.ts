/** Owns death by plan: every step of a life that changes something is counted, and the life ends before one of them. */

export class Died extends Error {
  constructor(readonly step: string) {
    super(`died before ${step}`)
  }
}

export class Mortal {
  /** What was done, in order. */
  readonly steps: string[] = []
  diedBefore: string | undefined
  #onDeath: (() => void)[] = []
  #beforeStep: () => void = () => undefined

  /** Dies before step number `diesBefore`, or before the first step of that name; never when there is none. */
  constructor(private readonly diesBefore: number | string = Infinity) {}

  get isDead(): boolean {
    return this.diedBefore !== undefined
  }

  /** Called before each step, alive: for what must hold at every moment. */
  watch(beforeStep: () => void): void {
    this.#beforeStep = beforeStep
  }

  /** Resolves at the death. */
  get death(): Promise<void> {
    return new Promise((resolve) => {
      if (this.isDead) resolve()
      else this.#onDeath.push(resolve)
    })
  }

  /** One step is about to be done; the dead do none. */
  step(name: string): void {
    if (this.diedBefore !== undefined) throw new Died(name)
    this.#beforeStep()
    if (name === this.diesBefore || this.steps.length === this.diesBefore) {
      this.diedBefore = name
      for (const told of this.#onDeath) told()
      throw new Died(name)
    }
    this.steps.push(name)
  }

  /** The same object, with a step before each of these methods. */
  bind<T extends object>(label: string, target: T, methods: readonly (keyof T & string)[]): T {
    return this.#bind(label, target, new Set(methods), (error) => {
      throw error
    })
  }

  /** The same for methods that answer with a promise. */
  bindAsync<T extends object>(label: string, target: T, methods: readonly (keyof T & string)[]): T {
    return this.#bind(label, target, new Set(methods), (error) => Promise.reject(error))
  }

  #bind<T extends object>(
    label: string,
    target: T,
    counted: ReadonlySet<string>,
    fail: (error: Error) => unknown,
  ): T {
    return new Proxy(target, {
      get: (_, key) => {
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function') return value
        const call = value as (...args: unknown[]) => unknown
        if (typeof key !== 'string' || !counted.has(key)) return call.bind(target)
        return (...args: unknown[]) => {
          try {
            this.step(`${label}.${key}`)
          } catch (error) {
            return fail(error as Error)
          }
          return call.apply(target, args)
        }
      },
    })
  }
}
