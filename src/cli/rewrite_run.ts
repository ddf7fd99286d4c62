/** Runs one rewriting by the cheapest means that can do it, and says what came of it. */
import { type Exit, OperatorError } from '../base/errors.ts';
import type { RewriteFileSpec } from './rewrite_file_spec.ts';
import type { Helpers } from './rewrite_helpers.ts';
import type { RewriteOutcome } from './rewrite_report.ts';
import { newTally, type RewriteTally } from './rewrite_tally.ts';
import { readTextFile } from './text_file.ts';

/** What every way of rewriting has. */
export interface Rewriting {
  readonly tally: RewriteTally;
  readonly warnings: readonly string[];
}

/**
 * `verbose`: arguments for the tcpdump that prints the packets written, or null. Rejects with an `OperatorError` when
 * nothing could be begun; a fault on the way is in the outcome.
 */
export async function runRewriting(
  spec: RewriteFileSpec,
  verbose: string | null,
  say: (line: string) => void,
  helpers: Helpers | null = null,
): Promise<RewriteOutcome> {
  const started = performance.now();
  let rewriting: Rewriting = { tally: newTally(), warnings: [] };
  let fault: OperatorError | null = null;
  try {
    await begin(spec, verbose, say, helpers, (begun) => {
      rewriting = begun;
    });
  } catch (error) {
    if (!(error instanceof OperatorError) || rewriting.tally.read === 0) throw error;
    fault = error;
  }
  return {
    tally: rewriting.tally,
    seconds: (performance.now() - started) / 1000,
    fault: fault?.message ?? null,
    faultExit: fault?.exit ?? (0 as Exit),
    warnings: rewriting.warnings,
  };
}

type Begun = (rewriting: Rewriting) => void;

async function begin(
  spec: RewriteFileSpec,
  verbose: string | null,
  say: (line: string) => void,
  helpers: Helpers | null,
  begun: Begun,
): Promise<void> {
  const fragroute = await fragrouteOf(spec);
  if (fragroute === null && verbose === null) {
    const { rewriteInPlace } = await import('./rewrite_in_place_run.ts');
    if (await rewriteInPlace(spec, helpers, begun)) return;
  }
  const [{ StreamRewriting }, router] = await Promise.all([import('./rewrite_stream.ts'), routerOf(spec)]);
  if (verbose === null) {
    const stream = new StreamRewriting(spec, { router, fragroute, say, copyTo: [] });
    begun(stream);
    stream.run();
    return;
  }
  const { startDecoder } = await import('./decode.ts');
  const decoders =
    spec.outputSecondary === null ? [startDecoder(verbose)] : [startDecoder(verbose), startDecoder(verbose)];
  let done = false;
  try {
    const stream = new StreamRewriting(spec, {
      router,
      fragroute,
      say,
      copyTo: decoders.map((decoder) => decoder.path),
    });
    begun(stream);
    stream.run();
    done = true;
    const complaints = await Promise.all(decoders.map((decoder) => decoder.finish()));
    for (const complaint of complaints) if (complaint !== null) stream.warnings.push(complaint);
  } finally {
    if (!done) for (const decoder of decoders) decoder.abandon();
  }
}

/** The rules that do something; null: none. */
async function fragrouteOf(spec: RewriteFileSpec) {
  if (spec.fragroute === null) return null;
  const { FragrouteStage } = await import('./rewrite_fragroute.ts');
  const stage = new FragrouteStage(spec.fragroute, readTextFile(spec.fragroute.path));
  return stage.isIdle ? null : stage;
}

async function routerOf(spec: RewriteFileSpec) {
  if (spec.cachefile !== null) return (await import('./rewrite_cache.ts')).readCacheRouter(spec.cachefile);
  if (spec.auto !== null) return (await import('./rewrite_auto.ts')).autoRouter(spec.input, spec.auto);
  return (await import('./rewrite_side.ts')).ONE_SIDE;
}
