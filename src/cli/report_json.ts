/** The report as one JSON object (`--json`). Its fields are documented in docs/tsreplay.md; a test keeps both alike. */
import type { FlowReport, LatenessReport, OutputReport, ReplayReport, WireReport } from '../replay/report.ts';

export interface JsonReport {
  readonly tool: string;
  readonly version: string;
  readonly files: readonly string[];
  readonly interfaces: readonly OutputReport[];
  readonly packets: ReplayReport['packets'];
  readonly bytesSent: number;
  readonly seconds: number;
  readonly pps: number;
  readonly mbps: number;
  readonly latenessNs: LatenessReport | null;
  readonly wire: WireReport | null;
  readonly flows: FlowReport | null;
  readonly drops: Readonly<Record<string, number>>;
  readonly loops: number;
  readonly edited: number;
  readonly notEditable: Readonly<Record<string, number>>;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly interrupted: boolean;
  readonly complete: boolean;
  readonly fault: string | null;
  readonly warnings: readonly string[];
}

export function jsonReport(
  tool: string,
  version: string,
  report: ReplayReport,
  warnings: readonly string[],
): JsonReport {
  const { packets, seconds, bytesSent } = report;
  return {
    tool,
    version,
    files: report.files.map((file) => file.path),
    interfaces: report.outputs,
    packets: { read: packets.read, sent: packets.sent, failed: packets.failed, skipped: packets.skipped },
    bytesSent,
    seconds,
    pps: seconds > 0 ? packets.sent / seconds : 0,
    mbps: seconds > 0 ? (bytesSent * 8) / seconds / 1e6 : 0,
    latenessNs: report.latenessNs,
    wire: report.wire,
    flows: report.flows,
    drops: report.drops,
    loops: report.loops,
    edited: report.edited,
    notEditable: report.notEditable,
    startedAt: new Date(report.startedAtMs).toISOString(),
    finishedAt: new Date(report.finishedAtMs).toISOString(),
    interrupted: report.interrupted,
    complete: report.complete,
    fault: report.fault,
    warnings,
  };
}
