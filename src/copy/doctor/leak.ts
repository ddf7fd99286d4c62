/** Whether an answer to the probe went on towards the clients. Pure. */
import type { Sighting } from '../tunnel/probe.ts';
import { type Check, check, hostPortText } from './check.ts';
import { answerSeen, type ProbeContext } from './context.ts';
import type { ProbeEvidence } from './probe.ts';

interface Escape {
  readonly sighting: Sighting;
  /** Who let it go. */
  readonly at: string;
  readonly isHere: boolean;
}

const isReply = ({ kind }: Sighting): boolean => kind === 'SYN-ACK' || kind === 'RST';

/** Replies that nobody was to see. */
function escapeOf({ here, there, answer, target }: ProbeEvidence, context: ProbeContext): Escape | null {
  const { mode, after } = context;
  const swallowed = after?.interface;
  const far = there.find(
    (each) => isReply(each) && each.way === 'out' && !(mode === 'host' && each.interface === swallowed),
  );
  if (far !== undefined) return { sighting: far, at: mode === 'host' ? target.host : 'the assistant', isHere: false };
  const out = here.find((each) => isReply(each) && each.way === 'out');
  if (out !== undefined) return { sighting: out, at: 'this host', isHere: true };
  // On its way to somebody else; a switch may show it though it goes where it should.
  const passing = here.find((each) => isReply(each) && each.way === 'passing');
  const isElsewhere = mode === 'host' || answer === null || mode === 'local';
  if (passing !== undefined && isElsewhere) return { sighting: passing, at: target.host, isHere: false };
  if (mode !== 'host') return null;
  const came = here.find(isReply);
  return came === undefined ? null : { sighting: came, at: target.host, isHere: false };
}

export function leakCheck(evidence: ProbeEvidence, context: ProbeContext): Check {
  const more = { target: hostPortText(evidence.target) };
  const leak = escapeOf(evidence, context);
  if (leak !== null) {
    const { sighting, at, isHere } = leak;
    const by =
      sighting.way === 'out' ? `left ${at} by ${sighting.interface}` : `of ${at} went by ${sighting.interface}`;
    const excepted = context.after?.except ?? [];
    const text = `LEAK: a ${sighting.kind} to ${evidence.from} ${by}, so real clients get packets of the test server`;
    const remedy = remedyOf(evidence, context, leak, excepted);
    return check('probe', 'clients', 'broken', isHere ? `${text} through this host` : text, {
      ...more,
      remedy,
      isLeak: true,
    });
  }
  if (answerSeen(evidence) === null) {
    return check('probe', 'clients', 'unknown', 'not observable from here: there was no answer that could leak', more);
  }
  const blind = blindness(context);
  if (blind !== null) return check('probe', 'clients', 'unknown', `not observable from here: ${blind}`, more);
  const looked = context.mode === 'local' ? 'this host' : context.mode === 'host' ? 'the target' : 'the assistant';
  return check('probe', 'clients', 'ok', `nothing left towards clients (all interfaces of ${looked} looked at)`, more);
}

/** Why the place where a leak would be cannot be looked at; null: it can. */
function blindness({ mode, after, hereFault }: ProbeContext): string | null {
  if (mode === 'local') return hereFault;
  return after === null ? 'tsintercept did not say what it saw' : after.fault;
}

function remedyOf(
  { from, isSpare, target }: ProbeEvidence,
  { mode, after, gateway }: ProbeContext,
  { sighting, isHere }: Escape,
  except: readonly string[],
): string {
  const v6 = target.address.length === 4;
  if (mode === 'host') {
    const names = after?.services ?? [];
    const isNamed = names.some((text) => text === String(target.port) || text === hostPortText(target));
    if (!isNamed && names.length > 0) {
      return `tsintercept swallows ${names.join(', ')} only: start it with --service ${target.port}`;
    }
    const spared = except.length > 0 ? `; it spares --except ${except.join(',')}` : '';
    const ip = v6 ? 'ip -6' : 'ip';
    return `on ${target.host}: ${ip} rule shows what goes before tsintercept's own, or start it again${spared}`;
  }
  const key = v6 ? 'net.ipv6.conf.all.forwarding' : 'net.ipv4.ip_forward';
  if (mode === 'assistant' && !isHere && sighting.way === 'out') return `on the assistant: sysctl -w ${key}=0`;
  if (mode === 'local' && isHere) return `ip rule shows what goes before ours; or sysctl -w ${key}=0`;
  const spare = isSpare ? `, or --probe-from ADDRESS where only clients' networks are routed there` : '';
  const line = `ip${v6 ? ' -6' : ''} route replace default via ${gateway ?? 'ADDRESS'}`;
  return `its replies to ${from} take another way: on ${target.host}: ${line}${spare}`;
}
