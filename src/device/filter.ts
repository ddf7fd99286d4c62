/**
 * Filter expressions over captured frames: libpcap compiles them, once per link type; our own interpreter runs them, so
 * that no frame crosses into libpcap.
 */
import type { FrameBatch } from '../base/batch.ts';
import { OperatorError } from '../base/errors.ts';
import { compileFilter } from '../sys/libpcap.ts';
import { type BpfProgram, loadBpf, runBpf } from '../wire/bpf.ts';

export { compileFilter, type FilterProgram, listDevices, type PcapDevice } from '../sys/libpcap.ts';

export interface FrameFilter {
  /** Whether the filter accepts frame `i` of the batch. */
  matches(batch: FrameBatch, i: number): boolean;
}

/**
 * A filter for frames of any link type. Throws USAGE where the expression is wrong for `linktype`, the first that will
 * come; a link type met later that it cannot be compiled for accepts nothing.
 */
export function openFrameFilter(expression: string, linktype: number): FrameFilter {
  return new CompiledFilter(expression, linktype);
}

class CompiledFilter implements FrameFilter {
  readonly #expression: string;
  readonly #programs: (BpfProgram | null | undefined)[] = [];

  constructor(expression: string, linktype: number) {
    this.#expression = expression;
    this.#programs[linktype] = load(expression, linktype);
  }

  matches(batch: FrameBatch, i: number): boolean {
    const linktype = batch.linktype[i]!;
    let program = this.#programs[linktype];
    if (program === undefined) program = this.#later(linktype);
    if (program === null) return false;
    return runBpf(program, batch.region.view, batch.at[i]!, batch.caplen[i]!, batch.len[i]!) !== 0;
  }

  #later(linktype: number): BpfProgram | null {
    let program: BpfProgram | null = null;
    try {
      program = load(this.#expression, linktype);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
    }
    this.#programs[linktype] = program;
    return program;
  }
}

function load(expression: string, linktype: number): BpfProgram {
  const program = loadBpf(compileFilter(expression, linktype));
  if (typeof program !== 'string') return program;
  throw new OperatorError(
    'UNSUPPORTED',
    `filter "${expression}": libpcap made a program that is not run here: ${program}`,
  );
}
