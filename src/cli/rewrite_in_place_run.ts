import type { RewriteFileSpec } from './rewrite_file_spec.ts';
import type { Rewriting } from './rewrite_run.ts';

export async function rewriteInPlace(_spec: RewriteFileSpec, _begun: (r: Rewriting) => void): Promise<boolean> {
  return false;
}
