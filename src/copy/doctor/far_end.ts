/** The tunnel as a probe uses it: a connection of its own, which asks for the clock and for what was seen there. */
import type { Deferred } from '../../base/deferred.ts';
import { deferred } from '../../base/deferred.ts';
import { realtimeMs } from '../../device/host.ts';
import type { ReplySource } from '../agent/spec.ts';
import { TargetHeader } from '../target_header.ts';
import { TunnelClient } from '../tunnel/client.ts';
import { type ProbeReport, type ProbeRequest, readProbeReport } from '../tunnel/probe.ts';
import { CLOCK_BYTES, Frame, TIME_BYTES, type Welcome } from '../tunnel/protocol.ts';

const ANSWER_MS_MAX = 2_000;
const CLOCK_SAMPLES = 5;

export interface ClockReading {
  /** Their clock minus ours. */
  readonly offsetMs: number;
  /** Of the fastest of a few exchanges. */
  readonly roundTripMs: number;
}

/** Headers of replies that come through the tunnel. */
export type OnHeader = (header: TargetHeader) => void;

type TunnelSource = Extract<ReplySource, { kind: 'tunnel' }>;

export class FarEnd {
  readonly where: string;
  readonly client: TunnelClient;
  onHeader: OnHeader = () => {};
  readonly #header = new TargetHeader();
  /** What is waited for; questions are asked one after the other. */
  #time: Deferred<readonly [number, number]> | null = null;
  #report: Deferred<ProbeReport> | null = null;

  private constructor({ host, port, key, tls }: TunnelSource) {
    this.where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    this.client = new TunnelClient({
      host,
      port,
      key,
      tls,
      onReplies: (batch) => {
        while (batch.next(this.#header)) this.onHeader(this.#header);
      },
      onAnswer: (type, payload) => this.#take(type, payload),
    });
  }

  /** Rejects with the OperatorError that names what is wrong with the tunnel. */
  static async connect(source: TunnelSource): Promise<{ far: FarEnd; welcome: Welcome }> {
    const far = new FarEnd(source);
    try {
      return { far, welcome: await far.client.connect() };
    } catch (error) {
      far.close();
      throw error;
    }
  }

  #take(type: number, payload: Buffer): boolean {
    if (type === Frame.Time) {
      if (payload.length !== TIME_BYTES) return false;
      this.#time?.resolve([payload.readDoubleBE(0), payload.readDoubleBE(CLOCK_BYTES)]);
      return true;
    }
    const report = readProbeReport(payload);
    if (report === null) return false;
    this.#report?.resolve(report);
    return true;
  }

  /** Null: no answer. */
  async clock(): Promise<ClockReading | null> {
    let best: ClockReading | null = null;
    for (let i = 0; i < CLOCK_SAMPLES; i++) {
      this.#time = deferred();
      const asked = Buffer.allocUnsafe(CLOCK_BYTES);
      const beforeMs = performance.now();
      asked.writeDoubleBE(realtimeMs(), 0);
      this.client.send(Frame.Clock, asked);
      const times = await within(this.#time.promise);
      if (times === null) return best;
      const roundTripMs = performance.now() - beforeMs;
      if (best !== null && best.roundTripMs <= roundTripMs) continue;
      best = { roundTripMs, offsetMs: times[1] - (times[0] + roundTripMs / 2) };
    }
    return best;
  }

  /** The far end looks for the probe's packets once this has resolved; null: no answer. */
  watch(request: ProbeRequest): Promise<ProbeReport | null> {
    return this.#ask(Frame.Probe, Buffer.from(JSON.stringify(request)));
  }

  /** What it has seen since `watch`; null: no answer. */
  finish(): Promise<ProbeReport | null> {
    return this.#ask(Frame.ProbeEnd);
  }

  #ask(type: number, payload?: Buffer): Promise<ProbeReport | null> {
    this.#report = deferred();
    this.client.send(type, payload);
    return within(this.#report.promise);
  }

  close(): void {
    this.client.close();
  }
}

async function within<T>(answer: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ANSWER_MS_MAX);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
