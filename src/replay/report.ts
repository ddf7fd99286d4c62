/** What a replay says while it runs and when it has ended. Plain data: counts are packets and bytes, times are ns. */

/** One output's counters. */
export interface OutputReport {
  readonly name: string;
  readonly backend: string;
  readonly sent: number;
  readonly sentBytes: number;
  readonly failed: number;
  /** Packets captured shorter than they were on the wire and sent so. */
  readonly truncated: number;
  readonly retriedNoBufs: number;
  readonly retriedAgain: number;
  /** Flow counts of what went to this output; null when switched off. */
  readonly flows: FlowReport | null;
  /** What the interface's own counters say about the run; null for files and where there are none. */
  readonly wire: WireReport | null;
}

export interface WireReport {
  /** Packets that the interface counted as transmitted during the run. */
  readonly packets: number;
  /** Packets that it counted as dropped or failed on transmit. */
  readonly dropped: number;
}

export interface FlowReport {
  /** Flows seen, an expired one that comes back counted again. */
  readonly flows: number;
  readonly unique: number;
  readonly expired: number;
  readonly flowPackets: number;
  readonly nonFlowPackets: number;
  readonly invalidPackets: number;
}

export interface LatenessReport {
  /** Nanoseconds between a packet's due time and the moment it was handed over. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Cheap to take, at any time. */
export interface ReplaySnapshot {
  readonly packetsRead: number;
  readonly packetsSent: number;
  readonly packetsFailed: number;
  readonly packetsSkipped: number;
  readonly bytesSent: number;
  /** Since the first packet; stands still while paused. */
  readonly seconds: number;
  /** 1-based number of the loop being sent. */
  readonly loop: number;
  /** 0 = for ever. */
  readonly loopCount: number;
  /** Packets that will have been read at the end, or -1 where that is not known. */
  readonly packetsTotal: number;
  /** Share of the input read so far, 0..1, or -1. */
  readonly progress: number;
  readonly latenessNsLast: number;
  readonly latenessNsMax: number;
  readonly paused: boolean;
  readonly outputs: readonly { readonly name: string; readonly sent: number; readonly failed: number }[];
}

export interface ReplayReport {
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly seconds: number;
  readonly interrupted: boolean;
  /** Loops completed. */
  readonly loops: number;
  readonly files: readonly { readonly path: string; readonly packets: number; readonly bytes: number }[];
  readonly packets: {
    readonly read: number;
    readonly sent: number;
    readonly failed: number;
    readonly skipped: number;
  };
  readonly bytesSent: number;
  /** Null at top speed, where nothing is due. */
  readonly latenessNs: LatenessReport | null;
  /** Sum over the interfaces; null when nothing went to an interface. */
  readonly wire: WireReport | null;
  readonly flows: FlowReport | null;
  /** Every packet that was read and did not leave, by cause. */
  readonly drops: Readonly<Record<string, number>>;
  /** Packets changed by the rewriting options. */
  readonly edited: number;
  /** Packets that could not be edited and were sent as they were, by cause. */
  readonly notEditable: Readonly<Record<string, number>>;
  readonly outputs: readonly OutputReport[];
  /** What ended the run early (a fault of file or device), one sentence, or null. */
  readonly fault: string | null;
  /** Everything that was asked for left. */
  readonly complete: boolean;
}
