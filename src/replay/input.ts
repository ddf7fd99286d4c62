/** Decisions about the inputs before a start: what is kept in memory, what they hold, what cannot be sent. */
import fs from 'node:fs';
import { OperatorError } from '../base/errors.ts';
import { groupDigits } from '../base/units.ts';
import type { Sink } from '../device/sink.ts';
import { openClassifier } from '../flow/classifier.ts';
import type { Classifier } from '../flow/direction.ts';
import { FlowKey } from '../flow/hash.ts';
import type { CaptureReader } from '../pcap/index.ts';
import { Linktype, linktypeName } from '../wire/linktype.ts';
import { Cause } from './causes.ts';
import { type OpenReader, type Piece, SequentialFeed } from './feed.ts';
import { Preparer, type Stages } from './prepare.ts';
import { type LongestFrame, scanInputs } from './scan.ts';
import type { ReplaySpec } from './spec.ts';

/** Looped captures up to this many bytes in all are kept in memory without being asked to. */
const KEPT_BYTES_MAX = 256 * 1024 * 1024;
/** No framing makes a frame longer by more than this: an Ethernet header and two VLAN tags. */
const GROWTH_BYTES_MAX = 22;

const UNREPEATABLE =
  '--auto reads its input twice, which a stream does not allow: take --auto first, a file, or a cache of tsprep';

export interface InputFacts {
  /** Packets in one pass, or -1 where the inputs can be read once only. */
  readonly packets: number;
  /** Link type of the first packet; Ethernet where it is not known. */
  readonly linktype: number;
  readonly linktypes: ReadonlySet<number>;
  readonly longest: LongestFrame | null;
  readonly flowKey: FlowKey;
  /** Settled; null where the split is not of kind auto. */
  readonly direction: Classifier | null;
  readonly warnings: readonly string[];
}

function sizeOf(path: string): number {
  const stat = path === '-' ? undefined : fs.statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true ? stat.size : Number.POSITIVE_INFINITY;
}

/** Bytes of all inputs, 0 where one of them does not say. */
export function inputBytes(spec: ReplaySpec): number {
  const total = spec.inputs.reduce((sum, path) => sum + sizeOf(path), 0);
  return Number.isFinite(total) ? total : 0;
}

/** Whether the inputs can be read twice. */
function isRepeatable(spec: ReplaySpec): boolean {
  return spec.inputs.every((path) => Number.isFinite(sizeOf(path)) || (path !== '-' && !fs.existsSync(path)));
}

/** The capture is prepared into memory once and sent from there. */
export function isKept(spec: ReplaySpec): boolean {
  if (spec.loop.preload) return true;
  if (spec.loop.count === 1) return false;
  return spec.inputs.reduce((total, path) => total + sizeOf(path), 0) <= KEPT_BYTES_MAX;
}

/** What the header says of an input that can be read once only. The reader stays open for whoever opens it next. */
function lookAtStream(first: CaptureReader, direction: Classifier | null): InputFacts {
  const linktypes = new Set(first.info.interfaces.map((each) => each.linktype));
  return {
    packets: -1,
    linktype: linktypes.values().next().value ?? Linktype.EN10MB,
    linktypes,
    longest: null,
    flowKey: FlowKey.FiveTuple,
    direction,
    warnings: [],
  };
}

/**
 * Opens captures; one that can be read once only is opened when it is first asked for and handed out a second time, to
 * be read. Preconditions: the first holder reads no packet and does not close it.
 */
export function sharingStreams(open: OpenReader): OpenReader {
  const held = new Map<string, CaptureReader>();
  return (path) => {
    const waiting = held.get(path);
    if (waiting !== undefined) {
      held.delete(path);
      return waiting;
    }
    const reader = open(path);
    if (!Number.isFinite(sizeOf(path))) held.set(path, reader);
    return reader;
  };
}

/**
 * Reads the inputs once, where they can be read again; `onPackets` is told how many so far. Throws FILE and FORMAT
 * where one cannot be opened.
 */
export function lookAtInputs(
  spec: ReplaySpec,
  open: OpenReader,
  onPackets: (packets: number) => void = () => {},
): InputFacts {
  const direction = spec.split.kind === 'auto' ? openClassifier(spec.split.auto) : null;
  if (!isRepeatable(spec)) {
    if (direction?.waits) throw new OperatorError('USAGE', UNREPEATABLE);
    return lookAtStream(open(spec.inputs[0]!), direction);
  }
  const shards = spec.workers > 1 || spec.shard !== null;
  const scan = scanInputs(spec.inputs, open, {
    originalLength: spec.originalLength,
    fragments: shards,
    direction,
    onPackets,
  });
  const unparted = direction?.settle() ?? null;
  if (unparted !== null) {
    throw new OperatorError('FORMAT', `${unparted}: raise --minmask, or take another --auto mode`);
  }
  return {
    packets: scan.packets,
    linktype: scan.linktypes.values().next().value ?? Linktype.EN10MB,
    linktypes: scan.linktypes,
    longest: scan.longest,
    flowKey: scan.fragments ? FlowKey.Addresses : FlowKey.FiveTuple,
    direction,
    warnings: scan.packets === 0 ? ['there are no packets in the input: nothing will be sent'] : [],
  };
}

/** Refuses a run that would meet a packet too long for its interface. Throws MTU. */
export function refuseOversize(spec: ReplaySpec, sinks: readonly Sink[], facts: InputFacts): void {
  const { longest } = facts;
  // What edits shorten is known only when they have been made: see `rehearse`.
  if (spec.oversize !== 'error' || longest === null || spec.rewrite !== null) return;
  for (const sink of sinks) {
    const shrinks = facts.linktypes.size === 1 && facts.linktypes.has(sink.limits.linktype) ? 0 : GROWTH_BYTES_MAX;
    if (longest.bytes > sink.limits.frameBytesMax + shrinks) {
      throw oversizeError(longest.path, longest.packet, longest.bytes, sink);
    }
  }
}

/**
 * Prepares the first frames without sending them, so that what is impossible for all is said before the start; all
 * frames where edits decide whether one is too long. Throws FRAMING, ADDRESS, FORMAT, MTU.
 */
export function rehearse(
  spec: ReplaySpec,
  stages: Stages,
  facts: InputFacts,
  open: OpenReader,
  sinks: readonly Sink[],
): void {
  if (facts.packets <= 0) return;
  const feed = new SequentialFeed(spec.inputs, open, () => {});
  try {
    const piece = feed.next();
    if (piece === null) return;
    const preparer = new Preparer(stages);
    preparer.prepare(piece, piece.from);
    if (editsDecideLength(spec, facts, sinks)) rehearseAll(feed, piece, preparer, stages);
    if (preparer.out.frames.count > 0 || preparer.tally[Cause.NotConvertible] === 0) return;
    const link = linktypeName(facts.linktype);
    const { name } = sinks[0]!;
    throw new OperatorError(
      'FRAMING',
      `packets of link type ${link} cannot be sent on ${name} as they are: add --enet-dmac and --enet-smac`,
    );
  } finally {
    feed.close();
  }
}

/** Some packet may be too long for its interface, and only the edits can tell. */
function editsDecideLength(spec: ReplaySpec, facts: InputFacts, sinks: readonly Sink[]): boolean {
  if (spec.oversize !== 'error' || spec.rewrite === null || facts.longest === null) return false;
  const longest = facts.longest.bytes + GROWTH_BYTES_MAX;
  return sinks.some((sink) => longest > sink.limits.frameBytesMax);
}

function rehearseAll(feed: SequentialFeed, first: Piece, preparer: Preparer, stages: Stages): void {
  for (let piece: Piece | null = first; piece !== null; piece = feed.next()) {
    for (let from = piece === first ? piece.to : piece.from; from < piece.to; ) {
      from = preparer.prepare(piece, from);
      const { region } = piece.batch;
      region.scratchNext = region.scratchStart;
    }
    if (preparer.tally[Cause.Oversize]! > 0) throw stages.oversize.error();
  }
}

/** The sentence for a packet that does not fit. */
export function oversizeError(path: string, packet: number, bytes: number, sink: Sink): OperatorError {
  const where = path === '' ? 'packet' : `${path}: packet`;
  const { name, limits } = sink;
  return new OperatorError(
    'MTU',
    `${where} ${groupDigits(packet)} has ${bytes} bytes, ${name} takes frames of ${limits.frameBytesMax}: ` +
      `add --oversize segment (or fragment, truncate, skip), or ip link set ${name} mtu ${bytes}`,
  );
}
