/** Placeholder until the edit rules' data types are written. */
export interface RewriteSpec {
  readonly rules: readonly never[];
}
