/** `tsprep`: argv to spec to run to exit status. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { BATCH_FRAMES, FrameBatch } from '../base/batch.ts';
import { Exit, OperatorError } from '../base/errors.ts';
import { plainRegion } from '../base/region.ts';
import { groupDigits } from '../base/units.ts';
import { AddressFilter } from '../flow/address_filter.ts';
import { openClassifier } from '../flow/classifier.ts';
import type { Classifier, DirectionSpec, Services } from '../flow/direction.ts';
import { MacClassifier } from '../flow/direction_mac.ts';
import { openCapture } from '../pcap/open.ts';
import { PrepCacheBuilder } from '../pcap/prep_cache.ts';
import { type FrameFilter, Select } from '../replay/select.ts';
import { commandMain, type RunLine } from './command_main.ts';
import { oneLine } from './failure.ts';
import { reasonOf } from './inputs.ts';
import { KEPT_MAX, PrepLoop } from './prep_loop.ts';
import { cacheComment, directionSpecFrom, type PrepOptions } from './prep_spec.ts';
import { PREP_TABLE } from './prep_table.ts';
import type { PacketRule } from './prep_values.ts';
import type { VerbosePrinter } from './prep_verbose.ts';
import type { Terminal } from './terminal.ts';
import { usage } from './values.ts';

/** Never rejects. */
export function prepMain(argv: readonly string[], terminal: Terminal): Promise<Exit> {
  return commandMain(PREP_TABLE, argv, terminal, (line) => prep(argv, line, terminal));
}

async function prep(argv: readonly string[], line: RunLine, terminal: Terminal): Promise<Exit> {
  const options = line.options as PrepOptions;
  if (await print(options, terminal)) return Exit.Done;
  const input = inputOf(options, line.operands);
  const services = options.services === undefined ? null : await readServices(options.services);
  const spec = directionSpecFrom(options, services);
  if (options.cachefile === undefined && !options.explain) {
    throw usage('where is the cache to go? Give --cachefile (or --explain alone)');
  }
  refuseSame(input, options.cachefile);
  if ((options.dbug ?? 0) >= 1) terminal.error(JSON.stringify({ input, spec }, planValue, 2));
  const verbose = options.verbose ? new (await import('./prep_verbose.ts')).VerbosePrinter(options.decode ?? '') : null;
  const run = new PrepRun(input, spec, options, verbose);
  const fault = await run.read();
  await run.report(argv, terminal);
  if (fault === null) return Exit.Done;
  terminal.error(`tsprep: ${oneLine(fault.message)}`);
  return fault.exit;
}

function planValue(key: string, value: unknown): unknown {
  return key === 'services' ? 'a table of 65,536 ports' : value;
}

/** True: something was printed instead of a run. */
async function print(options: PrepOptions, terminal: Terminal): Promise<boolean> {
  const { printComment, printInfo, printStats } = options;
  if (printComment === undefined && printInfo === undefined && printStats === undefined) return false;
  const printer = await import('./prep_print.ts');
  if (printComment !== undefined) printer.printComment(printComment, terminal);
  if (printInfo !== undefined) printer.printInfo(printInfo, terminal);
  if (printStats !== undefined) printer.printStats(printStats, terminal);
  return true;
}

function inputOf(options: PrepOptions, operands: readonly string[]): string {
  const named = options.pcap === undefined ? operands : [options.pcap, ...operands];
  if (named.length === 0) throw usage('no capture is named: tsprep --auto first -i FILE -o CACHE (see tsprep --help)');
  if (named.length > 1) {
    throw usage(`a cache is of one capture, but ${named.length} are named: merge them first, or make one cache each`);
  }
  return named[0]!;
}

async function readServices(path: string): Promise<Services> {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    throw new OperatorError('USAGE', `--services: ${path} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  return (await import('./prep_values.ts')).parseServices(path, content);
}

/** A cache written over its capture would destroy it. */
function refuseSame(input: string, cachefile: string | undefined): void {
  if (cachefile === undefined || input === '-') return;
  const there = statSync(cachefile, { throwIfNoEntry: false });
  if (there === undefined || statSync(input, { throwIfNoEntry: false }) === undefined) return;
  if (there.isFile() && realpathSync(cachefile) === realpathSync(input)) {
    throw usage(`--cachefile names the capture ${input} itself, which would be overwritten: name another file`);
  }
}

class PrepRun {
  readonly #input: string;
  readonly #options: PrepOptions;
  readonly #verbose: VerbosePrinter | null;
  readonly #classifier: Classifier;
  readonly #builder = new PrepCacheBuilder();
  readonly #batch = new FrameBatch(BATCH_FRAMES, plainRegion(0));
  #loop: PrepLoop | null = null;

  constructor(input: string, spec: DirectionSpec, options: PrepOptions, verbose: VerbosePrinter | null) {
    this.#input = input;
    this.#options = options;
    this.#verbose = verbose;
    this.#classifier = openClassifier(spec);
  }

  /** Looks at every packet up to the capture's fault, which is returned. Throws where nothing can be decided. */
  async read(): Promise<OperatorError | null> {
    const { include, exclude } = this.#options;
    const filtered = include?.kind === 'filter' || exclude?.kind === 'filter';
    const filters = filtered ? await import('../device/filter.ts') : null;
    const fault = await this.#eachBatch((batch) => {
      this.#loop ??= this.#makeLoop(batch.linktype[0]!, filters?.openFrameFilter ?? null);
      this.#loop.take(batch);
    }, this.#verbose);
    const loop = this.#loop;
    if (loop === null) throw fault ?? new OperatorError('FORMAT', `${this.#input} holds no packets: nothing to split`);
    this.#refuseWithoutMac(loop.packets);
    const unparted = this.#classifier.settle();
    if (unparted !== null) {
      throw new OperatorError(
        'FORMAT',
        `${unparted}: raise --minmask (up to 32), change --ratio, or take another --auto mode`,
      );
    }
    if (this.#classifier.waits && !loop.decideKept()) await this.#eachBatch((batch) => loop.takeAgain(batch), null);
    return fault;
  }

  async report(argv: readonly string[], terminal: Terminal): Promise<void> {
    const options = this.#options;
    if (options.cachefile !== undefined) this.#builder.write(options.cachefile, cacheComment(argv, options));
    if (options.explain) {
      const { explainHosts } = await import('./prep_explain.ts');
      const rule = options.regex === undefined ? 'the --cidr list' : `--regex ${options.regex}`;
      for (const text of explainHosts(this.#classifier, rule)) terminal.out(text);
    }
    const warning = this.#verbose === null ? null : await this.#verbose.finish();
    if (options.suppressWarnings) return;
    if (warning !== null) terminal.error(`Warning: ${warning}`);
    const left = this.#verbose?.left ?? 0;
    if (left > 0) terminal.error(`Warning: ${left} packets of another link type than the first were not printed`);
  }

  #makeLoop(linktype: number, openFilter: OpenFilter | null): PrepLoop {
    const { include, exclude } = this.#options;
    const addresses: AddressFilter[] = [];
    for (const [rule, isInclude] of [[include, true] as const, [exclude, false] as const]) {
      if (rule?.kind === 'addresses') addresses.push(new AddressFilter(rule.end, rule.blocks, isInclude));
    }
    const filter = openFilter === null ? null : ruleFilter(include, exclude, linktype, openFilter);
    const ranges = (rule: PacketRule | undefined) => (rule?.kind === 'numbers' ? rule.ranges : null);
    const numbers = { include: ranges(include), exclude: ranges(exclude) };
    const selects = filter !== null || numbers.include !== null || numbers.exclude !== null;
    const select = selects ? new Select({ ...numbers, filter: null, limit: 0, durationNs: 0 }, filter) : null;
    const stat = this.#input === '-' ? undefined : statSync(this.#input, { throwIfNoEntry: false });
    const keptMax = stat?.isFile() === true ? KEPT_MAX : Number.POSITIVE_INFINITY;
    return new PrepLoop(this.#classifier, select, addresses, this.#builder, keptMax);
  }

  /** Reads the capture through; returns its fault. */
  async #eachBatch(take: (batch: FrameBatch) => void, verbose: VerbosePrinter | null): Promise<OperatorError | null> {
    const reader = openCapture(this.#input);
    const batch = this.#batch;
    try {
      while (reader.read(batch) > 0) {
        take(batch);
        if (verbose !== null) await verbose.print(batch);
      }
      return null;
    } catch (error) {
      // What lies in front of the fault can be split, and replayed.
      if (error instanceof OperatorError && (error.code === 'FORMAT' || error.code === 'FILE')) return error;
      throw error;
    } finally {
      reader.close();
    }
  }

  #refuseWithoutMac(packets: number): void {
    if (!(this.#classifier instanceof MacClassifier) || this.#classifier.withoutMac === 0) return;
    const share = `${groupDigits(this.#classifier.withoutMac)} of ${groupDigits(packets)} packets`;
    throw new OperatorError('FRAMING', `${share} have no Ethernet header: split them by --auto, --cidr or --port`);
  }
}

type OpenFilter = (expression: string, linktype: number) => FrameFilter;

/** `F:` rules as one filter; null where there is none. */
function ruleFilter(
  include: PacketRule | undefined,
  exclude: PacketRule | undefined,
  linktype: number,
  open: OpenFilter,
): FrameFilter | null {
  const only = include?.kind === 'filter' ? open(include.expression, linktype) : null;
  const but = exclude?.kind === 'filter' ? open(exclude.expression, linktype) : null;
  if (but === null) return only;
  return { matches: (batch, i) => (only === null || only.matches(batch, i)) && !but.matches(batch, i) };
}
