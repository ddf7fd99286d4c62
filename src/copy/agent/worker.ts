/** A copying thread: rings or files, a session engine, and the way out. Shares nothing with the other ones. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { NS_PER_MS } from '../../base/units.ts';
import { anonymousRegion, discardPages, MAP_ALIGN_BYTES, SystemClock } from '../../device/host.ts';
import { PollSet } from '../../device/host_capture.ts';
import { takeWake } from '../../device/wake.ts';
import { SAME_IDENTITY } from '../admission.ts';
import { CompareSide } from '../compare/side.ts';
import { CopyEngine } from '../engine.ts';
import { engineOptions } from '../options.ts';
import { SparedNetworks } from '../spared.ts';
import { Targets } from '../targets.ts';
import { FrameEmitter } from './emitter.ts';
import { identityMap } from './identity.ts';
import { AgentLoop } from './loop.ts';
import { describeError, type WorkerCommand, type WorkerMessage, type WorkerStart } from './messages.ts';
import { replayFiles } from './offline.ts';
import { AgentRings } from './rings.ts';
import { AgentCell, AgentOrder, AgentRows } from './rows.ts';
import { TunnelReplies } from './tunnel_replies.ts';
import { warmUp } from './warm_up.ts';
import { sparedNetwork } from './words.ts';

/** Longest sleep, and longest time without Node's event loop, which costs more than a turn. */
const EVENTS_MS = 100;
/** Longest sleep while the tunnel needs the event loop: over TLS, and until it is connected again. */
const TUNNEL_SLEEP_MS = 10;
const LOOK_MS = 200;
/** Segments given back since the last time that are worth giving their pages back: while others wait, and at rest. */
const TRIM_SEGMENTS = 2_048;
const TRIM_SEGMENTS_AT_REST = 256;
/** Longer than a reply takes from a target to this host. */
const QUIET_MS = 100;
/** Longer than the kernel keeps a block that is not full. */
const DRAIN_MS = 5;

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

/** What the operator is told of clients that are not copied. */
function sparedText(networks: readonly string[]): string {
  return networks.length === 0
    ? ''
    : `; not copied are clients of ${networks.join(', ')}, whom the target answers itself`;
}

class CopyWorker {
  readonly #start: WorkerStart;
  readonly #rows: AgentRows;
  readonly #counts: Float64Array;
  readonly #cells: Float64Array;
  readonly #lag: Int32Array;
  readonly #clock: SystemClock;
  readonly #emitter: FrameEmitter;
  readonly #engine: CopyEngine;
  readonly #loop: AgentLoop;
  readonly #rings: AgentRings;
  readonly #tunnel: TunnelReplies | null;
  readonly #compare: CompareSide | null;
  #poll = new PollSet([]);
  /** Descriptor of the tunnel in `#poll`; -2: `#poll` is to be made anew. */
  #polledTunnel = -2;
  #lookedMs = 0;
  #drops = 0;
  #tlsTold = false;

  constructor(start: WorkerStart) {
    const { spec, worker } = start;
    this.#start = start;
    this.#rows = new AgentRows(spec.workers, start.rows);
    this.#counts = this.#rows.counts(worker);
    this.#cells = this.#rows.cells(worker);
    this.#lag = this.#rows.lag(worker);
    this.#clock = new SystemClock(start.epochSeconds);
    this.#emitter = new FrameEmitter(spec.targets);
    const options = engineOptions(spec.engine);
    const { copies, pool } = spec.clones;
    const identities =
      copies === 1 && pool === null
        ? SAME_IDENTITY
        : identityMap(spec.clones, {
            workers: spec.workers,
            sessionsMax: options.maxSessions,
            idleNs: options.idleNs,
            nowNs: () => this.#clock.nowNs(),
          });
    this.#engine = new CopyEngine({
      options,
      targets: new Targets(spec.targets, spec.services),
      emitter: this.#emitter,
      identities,
      poolRegion: anonymousRegion(options.memoryBytes),
    });
    this.#emitter.onSendError = (view, at, length, isTooLong) => this.#engine.onSendError(view, at, length, isTooLong);
    const parts = { engine: this.#engine, emitter: this.#emitter, clock: this.#clock, cells: this.#cells };
    this.#loop = new AgentLoop(parts);
    this.#compare =
      start.compareRows === null
        ? null
        : new CompareSide(this.#engine.core, identities, start.compareRows, worker, spec, (text) =>
            post({ kind: 'note', level: 'warn', text }),
          );
    this.#loop.production = this.#compare?.production ?? null;
    this.#rings = new AgentRings(spec, worker, this.#loop, this.#cells);
    this.#tunnel =
      spec.replies.kind === 'tunnel'
        ? new TunnelReplies(spec, this.#engine, this.#emitter, this.#clock, this.#cells, (state, why) => {
            if (state === 'waiting' || state === 'leaving') post({ kind: 'note', level: 'warn', text: why ?? state });
            else if (state === 'ready') {
              post({
                kind: 'note',
                level: 'info',
                text: `the interception is reached${sparedText(this.#tunnel!.spared)}`,
              });
            }
          })
        : null;
    if (spec.replies.kind === 'local') this.#engine.spare(new SparedNetworks((spec.near ?? []).map(sparedNetwork)));
  }

  async run(): Promise<void> {
    await this.#tunnel?.client.connect();
    parentPort!.on('message', (command: WorkerCommand) => this.#obey(command));
    parentPort!.unref();
    post({ kind: 'ready' });
    if (this.#start.spec.packets.kind === 'files') {
      await replayFiles(this.#start.spec, this.#start.spec.packets, {
        loop: this.#loop,
        engine: this.#engine,
        emitter: this.#emitter,
        clock: this.#clock,
        isOver: () => this.#rows.order !== AgentOrder.Run,
        rest: (dueNs) => this.#rest(dueNs),
      });
    } else {
      const isOver = (): boolean => this.#rows.order !== AgentOrder.Run;
      while (!isOver()) await this.#work(Number.POSITIVE_INFINITY, isOver);
    }
    await this.#closeSessions();
    this.#publish();
  }

  /** Also after a defect: sockets outlive their thread. */
  close(): void {
    this.#tunnel?.close();
    this.#rings.close();
    this.#emitter.close();
  }

  #obey(command: WorkerCommand): void {
    if (command.kind === 'engine') this.#engine.reconfigure(command.options);
    else {
      const { address } = this.#start.spec.targets[command.target]!;
      this.#emitter.setMacs(command.target, command.macs, address.length === 4);
    }
  }

  /** Turns of the loop, with sleeps while there is nothing to do; then the event loop, `dueNs` at the latest. */
  async #work(dueNs: number, isOver: () => boolean): Promise<void> {
    const endMs = performance.now() + EVENTS_MS;
    for (;;) {
      // Replies first, and what they let go leaves before clients' packets are looked at.
      let frames = this.#tunnel === null ? 0 : this.#tunnel.read();
      frames += this.#loop.turn();
      const nowMs = performance.now();
      if (nowMs - this.#lookedMs >= LOOK_MS) this.#look(nowMs);
      if (frames === 0 && this.#sleep(dueNs)) break;
      if (nowMs >= endMs || this.#needsEvents || isOver()) break;
    }
    await nextTurn();
  }

  get #needsEvents(): boolean {
    return this.#tunnel !== null && !this.#tunnel.isPolled;
  }

  /** For whoever paces by himself: turns until `dueNs`. */
  async #rest(dueNs: number): Promise<void> {
    const isOver = (): boolean => this.#clock.nowNs() >= dueNs || this.#rows.order !== AgentOrder.Run;
    do await this.#work(dueNs, isOver);
    while (!isOver());
  }

  /** Returns whether the main thread has something to say. */
  #sleep(dueNs: number): boolean {
    const tunnel = this.#tunnel === null ? -1 : this.#tunnel.client.fd;
    const { wakeFd } = this.#start;
    if (tunnel !== this.#polledTunnel) {
      this.#polledTunnel = tunnel;
      this.#poll = new PollSet([wakeFd, ...this.#rings.fds, ...(tunnel < 0 ? [] : [tunnel])]);
    }
    const nextNs = Math.min(dueNs, this.#engine.nextTimerNs());
    const waitMs = Math.ceil((nextNs - this.#clock.nowNs()) / NS_PER_MS);
    const found = this.#poll.wait(Math.max(0, Math.min(this.#needsEvents ? TUNNEL_SLEEP_MS : EVENTS_MS, waitMs)));
    return found > 0 && this.#poll.events(0) !== 0 && takeWake(wakeFd);
  }

  #look(nowMs: number): void {
    this.#lookedMs = nowMs;
    if (this.#rings.look(nowMs)) this.#polledTunnel = -2;
    this.#tunnel?.look(nowMs);
    const isDown = this.#tunnel !== null && !this.#tunnel.isUp;
    this.#engine.shedNew(this.#rows.sheds || isDown);
    const drops = this.#cells[AgentCell.KernelDrops]!;
    if (drops > this.#drops) this.#engine.noteCaptureLoss();
    this.#drops = drops;
    if (this.#loop.tlsPort !== 0 && !this.#tlsTold) this.#tellTls(this.#loop.tlsPort);
    this.#trim();
    this.#publish();
  }

  /** Gives memory back that a backlog took, once it is over. */
  #trim(): void {
    const { pool } = this.#engine.core;
    if (pool.free - pool.freeMin < (pool.used === 0 ? TRIM_SEGMENTS_AT_REST : TRIM_SEGMENTS)) return;
    pool.forEachIdle(MAP_ALIGN_BYTES, (from, to) => discardPages(pool.region, from, to));
    pool.freeMin = pool.free;
  }

  #tellTls(port: number): void {
    this.#tlsTold = true;
    const text =
      `port ${port} carries TLS: another server cannot understand a copied TLS session, as it has other keys; ` +
      'copy behind whatever ends TLS';
    post({ kind: 'note', level: 'warn', text });
  }

  #publish(): void {
    this.#counts.set(this.#engine.core.counts);
    this.#lag.set(this.#engine.core.lag);
    this.#cells[AgentCell.FramesSent] = this.#emitter.sent();
    this.#cells[AgentCell.FramesRefused] = this.#emitter.refused();
    this.#cells[AgentCell.SessionsOpen] = this.#engine.sessionsOpen;
    this.#cells[AgentCell.SegmentsUsed] = this.#engine.segmentsUsed;
    this.#compare?.publish();
  }

  /** Every session is closed in order; nothing is captured meanwhile. */
  async #closeSessions(): Promise<void> {
    // What had been captured is copied, also what lies in a block that the kernel has not handed over yet.
    if (this.#rows.order !== AgentOrder.Stop) await this.#workFor(DRAIN_MS);
    this.#rings.closeClients();
    this.#engine.tick(this.#clock.nowNs());
    // At the end of its files an agent has seen everything.
    if (this.#rows.order !== AgentOrder.Run) this.#compare?.ending();
    this.#engine.closeAll();
    this.#polledTunnel = -2;
    const endNs = this.#clock.nowNs() + this.#start.spec.closeMs * NS_PER_MS;
    const isOver = (): boolean =>
      this.#engine.sessionsOpen === 0 || this.#clock.nowNs() >= endNs || this.#rows.order === AgentOrder.Stop;
    while (!isOver()) await this.#work(endNs, isOver);
    const left = this.#engine.resetAll();
    this.#loop.finish(this.#clock.nowNs());
    // What the targets had sent before they were told is still on its way, and still swallowed.
    if (left > 0) await this.#workFor(QUIET_MS);
    this.#compare?.finish();
  }

  async #workFor(ms: number): Promise<void> {
    const endNs = this.#clock.nowNs() + ms * NS_PER_MS;
    const isOver = (): boolean => this.#clock.nowNs() >= endNs;
    while (!isOver()) await this.#work(endNs, isOver);
  }
}

async function main(start: WorkerStart): Promise<void> {
  // Before the rings are opened, which would fill meanwhile.
  if (start.warms) await warmUp(start.spec, start.epochSeconds);
  const worker = new CopyWorker(start);
  try {
    await worker.run();
  } finally {
    worker.close();
  }
}

try {
  await main(workerData as WorkerStart);
  post({ kind: 'done' });
} catch (error) {
  post({ kind: 'failed', error: describeError(error) });
}
