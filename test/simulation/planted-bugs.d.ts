export interface Edit {
  readonly file: string
  readonly from: string
  readonly to: string
}
export interface PlantedBug {
  readonly text: string
  readonly edits: readonly Edit[]
}
export declare const PLANTED_BUGS: Readonly<Record<string, PlantedBug>>
export declare const TUNINGS: readonly Edit[]
export declare function applyEdits(edits: readonly Edit[], source: string, text: string): string
