/** Option values of `tsrewrite` to a `RewriteFileSpec`. Pure: reads no file. */
import type { AnonymizeSpec, PayloadPolicy } from '../rewrite/anonymize_spec.ts';
import { EMPTY_REWRITE, type RewriteSpec } from '../rewrite/spec.ts';
import { rewriteSpecFrom } from './rewrite_options.ts';
import type { Stamp } from './rewrite_time.ts';
import { usage } from './values.ts';

export type AutoModeName = 'bridge' | 'router' | 'client' | 'server' | 'first';
export type OversizeChoice = 'error' | 'skip' | 'truncate' | 'fragment' | 'segment';

/** One rewriting from file to file, as plain data: carried into workers by structured clone. */
export interface RewriteFileSpec {
  readonly input: string;
  readonly output: string;
  /** Server packets go there; null: to `output`. */
  readonly outputSecondary: string | null;
  readonly cachefile: string | null;
  readonly auto: AutoModeName | null;
  readonly format: 'pcap' | 'pcapng' | 'keep';
  readonly stamps: 'us' | 'ns' | 'keep';
  /** Added to every stamp. */
  readonly shift: Stamp | null;
  /** Stamp of the first packet. */
  readonly startAt: Stamp | null;
  readonly rewrite: RewriteSpec;
  /** What becomes of IP packets above `rewrite.mtuBytes`; null: nothing. */
  readonly oversize: OversizeChoice | null;
  readonly fragroute: FragrouteChoice | null;
  /** Applied to whatever is written. */
  readonly anonymize: AnonymizeSpec | null;
  readonly skipSoftErrors: boolean;
  readonly strict: boolean;
  readonly workers: number;
}

export interface FragrouteChoice {
  readonly path: string;
  readonly direction: 'c2s' | 's2c' | 'both';
  readonly seed: number;
}

/** As the option parsers leave them, by commander's attribute names. */
interface Values {
  readonly infile?: string;
  readonly outfile?: string;
  readonly outfileSecondary?: string;
  readonly cachefile?: string;
  readonly auto?: AutoModeName;
  readonly format?: 'pcap' | 'pcapng' | 'keep';
  readonly ts?: 'us' | 'ns' | 'keep';
  readonly shiftTime?: Stamp;
  readonly startAt?: Stamp;
  readonly oversize?: OversizeChoice;
  readonly fragroute?: string;
  readonly fragdir?: 'c2s' | 's2c' | 'both';
  readonly fragrouteSeed?: number;
  readonly anonymizePayload?: PayloadPolicy;
  readonly anonymizeKeepOui?: true;
  readonly skipSoftErrors?: true;
  readonly strict?: true;
  readonly compat?: RewriteSpec['compat'];
  readonly workers?: number;
}

/**
 * `anonymizeKey`: what the file of `--anonymize` holds, or null. Throws a usage error for what only shows with all
 * values together.
 */
export function rewriteFileSpecFrom(
  options: Readonly<Record<string, unknown>>,
  operands: readonly string[],
  anonymizeKey: Uint8Array | null,
): RewriteFileSpec {
  const values = options as Values;
  if (operands.length > 0) {
    throw usage(`"${operands[0]}" is no option: name the captures with --infile and --outfile`);
  }
  if (values.infile === undefined) throw usage('--infile is needed: which capture is to be read?');
  if (values.outfile === undefined) throw usage('--outfile is needed: where is the capture to be written?');
  if (values.outfile === values.outfileSecondary) throw usage('--outfile and --outfile-secondary name the same file');
  if (values.infile === '-' && values.auto !== undefined) {
    throw usage('--auto reads the capture twice, so --infile cannot be standard input: write it to a file first');
  }
  const compat = values.compat ?? 'tcprewrite';
  const spec: RewriteFileSpec = {
    input: values.infile,
    output: values.outfile,
    outputSecondary: values.outfileSecondary ?? null,
    cachefile: values.cachefile ?? null,
    auto: values.auto ?? null,
    format: values.format ?? 'pcap',
    stamps: values.ts ?? 'keep',
    shift: values.shiftTime ?? null,
    startAt: values.startAt ?? null,
    rewrite: rewriteSpecFrom(options, { compat }) ?? { ...EMPTY_REWRITE, compat },
    oversize: values.oversize ?? null,
    fragroute:
      values.fragroute === undefined
        ? null
        : { path: values.fragroute, direction: values.fragdir ?? 'both', seed: values.fragrouteSeed ?? 1 },
    anonymize: anonymizeFrom(values, anonymizeKey),
    skipSoftErrors: values.skipSoftErrors ?? false,
    strict: values.strict ?? false,
    workers: values.workers ?? 1,
  };
  return spec;
}

function anonymizeFrom(values: Values, key: Uint8Array | null): AnonymizeSpec | null {
  if (key === null) return null;
  return { key, payload: values.anonymizePayload ?? 'zero', keepOui: values.anonymizeKeepOui ?? false };
}

/** Sentences about options that do nothing as they are given. */
export function idleOptions(options: Readonly<Record<string, unknown>>): string[] {
  const warnings: string[] = [];
  if (options['mtu'] !== undefined && options['mtuTrunc'] === undefined && options['oversize'] === undefined) {
    warnings.push('--mtu alone changes nothing: add --mtu-trunc or --oversize');
  }
  return warnings;
}
