/** The object that `--json` prints and `--html` holds. */
import type { CaptureFacts } from './info_facts.ts';
import { type Obstacle, obstacles } from './info_ready.ts';

export interface FileReport extends CaptureFacts {
  /** No obstacle blocks a replay. */
  readonly ready: boolean;
  readonly obstacles: readonly Obstacle[];
}

export interface InfoReport {
  readonly tool: 'tsinfo';
  readonly version: string;
  /** Bytes of IP packet beyond which packets count as oversize. */
  readonly mtu: number;
  readonly files: readonly FileReport[];
  readonly warnings: readonly string[];
}

export function fileReport(facts: CaptureFacts, mtu: number): FileReport {
  const found = obstacles(facts, mtu);
  return { ...facts, ready: found.every((obstacle) => !obstacle.blocks), obstacles: found };
}
