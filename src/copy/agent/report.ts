/** What an agent has done: one snapshot for the live line, the report, JSON and metrics. */
import { histogramQuantile } from '../../base/histogram.ts';
import type { CompareSnapshot } from '../compare/comparison.ts';
import { Count, countsByName } from '../counts.ts';
import { AgentCell, type AgentTotals } from './rows.ts';

export type EngineCounts = ReturnType<typeof countsByName>;

export interface AgentSnapshot {
  readonly seconds: number;
  readonly workers: number;
  /** Workers that ended by a defect and were started again. */
  readonly workerCrashes: number;
  readonly sessionsOpen: number;
  readonly segmentsUsed: number;
  /** Sessions not begun, and requests passed over, all causes together. */
  readonly sessionsShed: number;
  readonly requestsSkipped: number;
  readonly retransmitted: number;
  readonly kernelDrops: number;
  readonly replyDrops: number;
  readonly framesReceived: number;
  readonly framesSent: number;
  readonly framesRefused: number;
  readonly devicesReopened: number;
  readonly tunnel: { readonly up: number; readonly connects: number; readonly replies: number; readonly lost: number };
  /** From a client packet's capture to its copy's departure. */
  readonly lagNs: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number };
  readonly tlsSessions: number;
  readonly counts: EngineCounts;
  /** Null: replies are not compared. */
  readonly compare: CompareSnapshot | null;
}

const SHED: readonly Count[] = [
  Count.ShedTableFull,
  Count.ShedMemory,
  Count.ShedIncarnations,
  Count.ShedCollision,
  Count.ShedLoad,
];
export const SKIPPED: readonly (readonly [cause: string, count: Count])[] = [
  ['refused by the target', Count.SkippedRefused],
  ['reset by the target', Count.SkippedReset],
  ['no answer of the target', Count.SkippedSilent],
  ['bytes never captured', Count.SkippedGap],
  ['memory of the session or of all', Count.SkippedFull],
  ['reset by the client', Count.SkippedClientReset],
  ['the agent ended', Count.SkippedClosing],
];
const RETRANSMITTED: readonly Count[] = [
  Count.RetransmittedTimeout,
  Count.RetransmittedFast,
  Count.RetransmittedProbe,
  Count.RetransmittedSyn,
];

export function snapshotOf(
  totals: AgentTotals,
  workers: number,
  workerCrashes: number,
  seconds: number,
): AgentSnapshot {
  const { counts, cells, lag } = totals;
  const sum = (which: readonly Count[]): number => which.reduce<number>((total, count) => total + counts[count]!, 0);
  return {
    seconds,
    workers,
    workerCrashes,
    sessionsOpen: cells[AgentCell.SessionsOpen]!,
    segmentsUsed: cells[AgentCell.SegmentsUsed]!,
    sessionsShed: sum(SHED),
    requestsSkipped: sum(SKIPPED.map(([, count]) => count)),
    retransmitted: sum(RETRANSMITTED),
    kernelDrops: cells[AgentCell.KernelDrops]!,
    replyDrops: cells[AgentCell.ReplyDrops]!,
    framesReceived: cells[AgentCell.Frames]!,
    framesSent: cells[AgentCell.FramesSent]!,
    framesRefused: cells[AgentCell.FramesRefused]!,
    devicesReopened: cells[AgentCell.Reopened]!,
    tunnel: {
      up: cells[AgentCell.TunnelUp]!,
      connects: cells[AgentCell.TunnelConnects]!,
      replies: cells[AgentCell.TunnelReplies]!,
      lost: cells[AgentCell.TunnelLost]!,
    },
    lagNs: {
      p50: histogramQuantile(lag, 0.5),
      p90: histogramQuantile(lag, 0.9),
      p99: histogramQuantile(lag, 0.99),
      max: histogramQuantile(lag, 1),
    },
    tlsSessions: cells[AgentCell.TlsHellos]!,
    counts: countsByName(counts),
    compare: null,
  };
}
