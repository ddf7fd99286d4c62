/** `tscopy doctor`: looks along a copy's path, from the clients' interface to the interception. */
import { type ErrorCode, OperatorError } from '../../base/errors.ts';
import { hasCapability, permissionRemedy } from '../../device/host.ts';
import { type AgentRequest, planAgent } from '../agent/plan.ts';
import type { AgentSpec } from '../agent/spec.ts';
import { Swallow } from '../agent/swallow.ts';
import type { Welcome } from '../tunnel/protocol.ts';
import { type Check, check, hostPortText } from './check.ts';
import { clientChecks } from './clients.ts';
import { farChecks, tunnelChecks } from './far_checks.ts';
import { FarEnd } from './far_end.ts';
import { PROBED_MAX, type ProbeResult, probeTargets } from './probe.ts';
import { checksOf } from './start.ts';
import { wayOutChecks } from './way_out.ts';

const WAIT_MS = 1_500;
/** What a plan fails for. */
const PLANNED: Partial<Record<ErrorCode, string>> = {
  ADDRESS: 'route',
  FILE: 'key',
  PERMISSION: 'key',
  INTERFACE: 'interface',
};

export interface DoctorOptions {
  /** Addresses to probe from; none of a family: a spare one. */
  readonly from: readonly string[];
  /** Called with each check as it is made. */
  readonly onCheck: (check: Check) => void;
}

export interface Diagnosis {
  readonly checks: readonly Check[];
  /** Null: the request could not be planned. */
  readonly spec: AgentSpec | null;
  /** What the operator has to mend before anything can be looked at; null: nothing. */
  readonly refusal: OperatorError | null;
}

/** Changes nothing for longer than it runs. Rejects with USAGE where the request makes no sense. */
export async function runDoctor(request: AgentRequest, { from, onCheck }: DoctorOptions): Promise<Diagnosis> {
  const checks: Check[] = [];
  const add = (more: readonly Check[]): void => {
    checks.push(...more);
    for (const each of more) onCheck(each);
  };
  const refused = (refusal: OperatorError | null): Diagnosis => ({ checks, spec: null, refusal });
  const permission = permissionCheck(request);
  add([permission]);
  if (permission.status === 'broken') return refused(new OperatorError('PERMISSION', permission.text));
  let spec: AgentSpec;
  try {
    const plan = await planAgent(request);
    spec = plan.spec;
    const warnings = plan.warnings.map((text) => check('this host', 'port', 'warning', text));
    add([...(await clientChecks(spec)), ...warnings, ...wayOutChecks(spec)]);
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code === 'USAGE') throw error;
    add([check('this host', PLANNED[error.code] ?? 'plan', 'broken', error.message)]);
    return refused(error.code === 'ADDRESS' || error.code === 'FILE' ? null : error);
  }
  await farSide(spec, from, add);
  return { checks, spec, refusal: null };
}

function permissionCheck(request: AgentRequest): Check {
  const needs = ['CAP_NET_RAW', ...(request.intercept === 'local' ? (['CAP_NET_ADMIN'] as const) : [])] as const;
  const missing = needs.filter((name) => !hasCapability(name));
  if (missing.length === 0) return check('this host', 'permission', 'ok', needs.join(', '));
  const text = `no permission to capture and send: ${permissionRemedy(...missing)}`;
  return check('this host', 'permission', 'broken', text);
}

type Add = (checks: readonly Check[]) => void;

interface Tunnel {
  readonly far: FarEnd;
  readonly welcome: Welcome;
}

/** Tunnel, far side, probe. */
async function farSide(spec: AgentSpec, from: readonly string[], add: Add): Promise<void> {
  const { replies } = spec;
  if (replies.kind === 'tunnel') {
    let tunnel: Tunnel;
    try {
      tunnel = await FarEnd.connect(replies);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      add([check('tunnel', 'reached', 'broken', error.message), ...notProbed(spec)]);
      return;
    }
    try {
      add(tunnelChecks(tunnel.far, tunnel.welcome, await tunnel.far.clock()));
      await probeChecks(spec, from, tunnel, add);
    } finally {
      tunnel.far.close();
    }
    return;
  }
  let swallow: Swallow;
  try {
    swallow = Swallow.setUp(spec.targets);
    add([check('this host', 'rule', 'ok', 'a routing rule can swallow replies, and the kernel keeps to it')]);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    add([check('this host', 'rule', 'broken', error.message, { isLeak: true }), ...notProbed(spec)]);
    return;
  }
  try {
    await probeChecks(spec, from, null, add);
  } finally {
    swallow.tearDown();
  }
}

const notProbed = (spec: AgentSpec): readonly Check[] =>
  spec.targets.map((target) =>
    check('probe', 'left', 'unknown', 'no SYN was sent, as nobody would swallow the answer', {
      target: hostPortText(target),
    }),
  );

async function probeChecks(spec: AgentSpec, from: readonly string[], tunnel: Tunnel | null, add: Add): Promise<void> {
  let result: ProbeResult;
  try {
    result = await probeTargets(spec, tunnel?.far ?? null, { from, waitMs: WAIT_MS });
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    add([check('probe', 'left', 'broken', error.message)]);
    return;
  }
  if (tunnel !== null) add(farChecks(spec, result.after ?? result.before, tunnel.far.where));
  add(checksOf(result, tunnel).flat());
  const left = spec.targets.length - PROBED_MAX;
  if (left > 0) add([check('probe', 'left', 'unknown', `${left} more targets are not probed`)]);
}
