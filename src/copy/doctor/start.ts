/** The probe at the start of copying: quick, and in the way of a leak only. */
import { OperatorError } from '../../base/errors.ts';
import type { AgentSpec } from '../agent/spec.ts';
import type { Welcome } from '../tunnel/protocol.ts';
import { brokenHop, type Check, sentence } from './check.ts';
import { contextOf } from './context.ts';
import { diagnose } from './diagnose.ts';
import { hostFacts } from './facts.ts';
import { FarEnd } from './far_end.ts';
import { type ProbeResult, probeTargets } from './probe.ts';

/** A SYN-ACK comes within milliseconds; whoever says nothing is waited for that long. */
const WAIT_MS = 1_000;

export interface StartProbe {
  /** Addresses to probe from; none of a family: a spare one. */
  readonly from: readonly string[];
  /** Of a hop that is broken, but lets nothing reach the clients. */
  readonly warn: (text: string) => void;
}

/**
 * Probes every target. Precondition: with `local`, the rule that swallows replies stands. Rejects with the tunnel's
 * OperatorError, or with one that names a leak and what mends it.
 */
export async function probeAtStart(spec: AgentSpec, { from, warn }: StartProbe): Promise<void> {
  const { replies } = spec;
  const tunnel = replies.kind === 'tunnel' ? await FarEnd.connect(replies) : null;
  try {
    const result = await probeTargets(spec, tunnel?.far ?? null, { from, waitMs: WAIT_MS });
    for (const checks of checksOf(result, tunnel)) {
      const hop = brokenHop(checks);
      if (hop === null) continue;
      const rest = 'tscopy doctor tells more';
      if (hop.isLeak) throw new OperatorError('ADDRESS', `${hop.target}: ${sentence(hop)}; ${rest}`);
      warn(`the probe of ${hop.target} says: ${sentence(hop)}; ${rest}`);
    }
  } finally {
    tunnel?.far.close();
  }
}

/** Checks of each target. */
export function checksOf(
  result: ProbeResult,
  tunnel: { readonly far: FarEnd; readonly welcome: Welcome } | null,
): readonly (readonly Check[])[] {
  const far = tunnel === null ? null : { welcome: tunnel.welcome, where: tunnel.far.where };
  const facts = hostFacts();
  return result.targets.map((evidence) => diagnose(evidence, contextOf(result, evidence.target, far, facts)));
}
