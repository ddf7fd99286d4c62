/**
 * HOT: makes frames ready to be sent: select, route, edit, adapt to the device, split what is too long.
 *
 * A piece of a feed goes in, a batch of ready frames of the same region comes out. Frames are edited where they lie;
 * only what grows beyond its headroom, and splits, are written into the region's scratch memory.
 */
import { FrameBatch } from '../base/batch.ts';
import { plainRegion, type Region } from '../base/region.ts';
import type { CompiledRewriter } from '../rewrite/index.ts';
import { Direction, Edit } from '../rewrite/rewriter.ts';
import { CAUSES, Cause } from './causes.ts';
import type { Piece } from './feed.ts';
import type { FlowStage } from './flows.ts';
import type { OversizeStage } from './oversize.ts';
import { type Select, TAKE } from './select.ts';
import { Route, type SendBatch } from './sendbatch.ts';

/** Changes frame `i` to the link type of a device. */
export interface Adapter {
  adapt(
    batch: FrameBatch,
    i: number,
    direction: Direction,
  ): typeof Edit.Unchanged | typeof Edit.Edited | typeof Edit.SoftError;
}

/** Says where a packet goes. */
export interface Router {
  /** A Route, or the Cause (negated, minus one) that the packet is not sent for. Frame `i` is as it was read. */
  route(packetNumber: number, batch: FrameBatch, i: number): number;
}

export interface Stages {
  readonly select: Select;
  /** Null: every packet to the primary output. */
  readonly router: Router | null;
  readonly rewriter: CompiledRewriter | null;
  /** One per output. */
  readonly adapters: readonly Adapter[];
  readonly oversize: OversizeStage;
  readonly flows: FlowStage;
  /** Zero-fill captured frames to their original length. */
  readonly originalLength: boolean;
  /** Prepare other workers' frames as well, because their edited form decides the schedule. */
  readonly prepareAll: boolean;
}

const OUT_FRAMES = 1024;
/** Scratch wanted free in front of a frame: its edits and its split in the worst usual case. */
const SCRATCH_PER_FRAME_MIN = 65_536;

export class Preparer {
  readonly out: SendBatch;
  /** Packets by Cause. */
  readonly tally: Float64Array = new Float64Array(CAUSES);
  /** Packets by EditStatus. */
  readonly edits: Float64Array = new Float64Array(8);
  /** Frames that came out of splits beyond the one that went in. */
  splitExtra = 0;
  readonly #stages: Stages;
  /** A file began, but none of its frames has been taken yet. */
  #startPending = false;

  constructor(stages: Stages) {
    this.#stages = stages;
    const frames = new FrameBatch(OUT_FRAMES, plainRegion(0));
    this.out = { frames, route: new Uint8Array(OUT_FRAMES), startsFile: false };
  }

  /** Prepares frames from `from` on into `out`; returns the first frame not yet taken (the end: `piece.to`). */
  prepare(piece: Piece, from: number): number {
    const out = this.out;
    const region = piece.batch.region;
    out.frames.region = region;
    out.frames.count = 0;
    out.startsFile = this.#startPending || (piece.startsFile && from === piece.from);
    let i = from;
    while (i < piece.to && this.#hasRoom(region, piece.batch.caplen[i]!)) {
      const cause = this.#frame(piece, i);
      if (cause >= 0) this.tally[cause]!++;
      i++;
    }
    this.#startPending = out.startsFile && out.frames.count === 0;
    return i;
  }

  /** True also where nothing can be gained by sending what is prepared first. */
  #hasRoom(region: Region, caplen: number): boolean {
    if (this.out.frames.count + this.#stages.oversize.splitFramesMax > OUT_FRAMES) return false;
    if (region.scratchNext === region.scratchStart) return true;
    return region.byteLength - region.scratchNext >= 4 * caplen + SCRATCH_PER_FRAME_MIN;
  }

  /** Takes one frame; returns the Cause that it does not go for, or TAKE. */
  #frame(piece: Piece, i: number): number {
    const stages = this.#stages;
    const batch = piece.batch;
    const flow = stages.flows.look(batch, i);
    const mine = stages.flows.isMine(flow);
    const skip = stages.select.causeOf(batch, i);
    if (skip !== TAKE) return mine ? skip : TAKE;
    if (!stages.flows.inShard(flow)) return mine ? Cause.OtherShard : TAKE;
    let route: number = Route.Primary;
    if (piece.route >= 0) route = piece.route;
    else if (stages.router !== null) route = stages.router.route(batch.numberFirst + i, batch, i);
    if (route < 0) return mine ? -1 - route : TAKE;
    if (batch.caplen[i] === 0) return mine ? Cause.EmptyRecord : TAKE;
    if (!mine && !stages.prepareAll) {
      this.#append(batch, i, Route.Elsewhere);
      return TAKE;
    }
    if (mine) stages.flows.count(batch, i, route);
    const cause = this.#edit(batch, i, route, mine);
    return mine ? cause : TAKE;
  }

  #edit(batch: FrameBatch, i: number, route: number, mine: boolean): number {
    const stages = this.#stages;
    if (stages.originalLength && !this.#extend(batch, i)) return Cause.NoRoom;
    const direction = route === Route.Secondary ? Direction.ServerToClient : Direction.ClientToServer;
    if (stages.rewriter !== null) {
      const status = stages.rewriter.edit(batch, i, direction);
      if (mine) this.edits[status]!++;
      if (status === Edit.Drop) return Cause.EditDrop;
      if (status === Edit.NoRoom) return Cause.NoRoom;
    }
    const status = stages.adapters[route]!.adapt(batch, i, direction);
    if (status === Edit.SoftError) return Cause.NotConvertible;
    const sendAs = mine ? route : Route.Elsewhere;
    if (stages.oversize.fits(batch, i, route)) {
      this.#append(batch, i, sendAs);
      return TAKE;
    }
    const first = this.out.frames.count;
    const cause = stages.oversize.handle(batch, i, route, this.out.frames);
    if (mine && cause === TAKE) this.splitExtra += this.out.frames.count - first - 1;
    for (let k = first; k < this.out.frames.count; k++) this.out.route[k] = sendAs;
    return cause;
  }

  #append(batch: FrameBatch, i: number, route: number): void {
    const frames = this.out.frames;
    const k = frames.count++;
    frames.at[k] = batch.at[i]!;
    frames.caplen[k] = batch.caplen[i]!;
    frames.len[k] = batch.len[i]!;
    frames.sec[k] = batch.sec[i]!;
    frames.nsec[k] = batch.nsec[i]!;
    frames.linktype[k] = batch.linktype[i]!;
    this.out.route[k] = route;
  }

  /** `--pktlen`: the record's original length, zeros behind what was captured. */
  #extend(batch: FrameBatch, i: number): boolean {
    const caplen = batch.caplen[i]!;
    const length = batch.len[i]!;
    if (length <= caplen) return true;
    const region = batch.region;
    const at = extendInScratch(region, batch.at[i]!, caplen, length);
    if (at < 0) return false;
    batch.at[i] = at;
    batch.caplen[i] = length;
    return true;
  }
}

function extendInScratch(region: Region, from: number, caplen: number, length: number): number {
  const at = (region.scratchNext + 7) & ~7;
  if (at + length > region.byteLength) return -1;
  region.scratchNext = at + length;
  region.bytes.copyWithin(at, from, from + caplen);
  region.bytes.fill(0, at + caplen, at + length);
  return at;
}
