/** What a probe's sightings mean: which hop of the path is broken, and what mends it. Pure. */
import { sysctlName } from '../../device/link.ts';
import type { HostInterface, ProbeReport } from '../tunnel/probe.ts';
import { type Check, check, hostPortText } from './check.ts';
import { answerSeen, hasAddress, type ProbeContext, seen } from './context.ts';
import { leakCheck } from './leak.ts';
import type { ProbeEvidence } from './probe.ts';
import { strayRemedy, strayRoute, strayText } from './stray.ts';

/** Checks of one target, in the order of the path. */
export function diagnose(evidence: ProbeEvidence, context: ProbeContext): readonly Check[] {
  const left = leftCheck(evidence);
  if (evidence.refusal !== null) return [left];
  return [
    left,
    reachedCheck(evidence, context),
    answeredCheck(evidence, context),
    swallowedCheck(evidence, context),
    leakCheck(evidence, context),
  ];
}

const targetOf = ({ target }: ProbeEvidence) => ({ target: hostPortText(target) });

function leftCheck(evidence: ProbeEvidence): Check {
  const { target, refusal, from, here } = evidence;
  const more = targetOf(evidence);
  if (refusal !== null)
    return check('probe', 'left', 'broken', `this host refuses the SYN from ${from} (${refusal})`, {
      ...more,
      remedy: refusalRemedy(refusal, target.sender),
    });
  const out = seen(here, 'SYN', 'out');
  const by = out === undefined ? `${target.device}, as the kernel says` : out.interface;
  return check('probe', 'left', 'ok', `the SYN from ${from} left by ${by} (${target.sender})`, more);
}

function refusalRemedy(refusal: string, sender: string): string {
  if (/EPERM|EACCES|not permitted/i.test(refusal)) {
    const past = sender === 'af_packet' ? '' : '; --sender af_packet goes past it';
    return `its firewall drops what leaves: nft list ruleset${past}`;
  }
  if (/ENETUNREACH|EHOSTUNREACH|unreachable/i.test(refusal)) return 'ip route get tells where packets would go';
  if (/EINVAL/.test(refusal)) return 'an address that the kernel takes as a source: --probe-from';
  return 'see ip -s link';
}

function reachedCheck(evidence: ProbeEvidence, context: ProbeContext): Check {
  const more = targetOf(evidence);
  const arrived = seen(evidence.there, 'SYN', 'in');
  const { host } = evidence.target;
  if (context.mode === 'host' && arrived !== undefined) {
    return check('probe', 'reached', 'ok', `the SYN came in at the target by ${arrived.interface}`, more);
  }
  if (answerSeen(evidence) !== null) return check('probe', 'reached', 'ok', 'the target has answered', more);
  if (context.mode !== 'host') {
    return check('probe', 'reached', 'unknown', 'not observable from here: nobody looks on the target', more);
  }
  if (context.after === null || context.after.fault !== null) {
    const why = context.after?.fault ?? 'tsintercept did not say';
    return check('probe', 'reached', 'unknown', `not observable from here: ${why}`, more);
  }
  if (!hasAddress(context.after, host)) {
    const why = `tsintercept is not on ${host}, where it would see what comes in`;
    return check('probe', 'reached', 'unknown', `not observable from here: ${why}`, more);
  }
  const causes = [
    `in a cloud the check of source addresses (source/destination check, anti-spoofing) on this host's interface`,
    'rp_filter=1 or a firewall on a router between',
    ...(evidence.isSpare ? [`or only the spare address ${evidence.from}: try --probe-from ADDRESS`] : []),
  ];
  return check('probe', 'reached', 'broken', `the SYN left here and did not reach ${host}`, {
    ...more,
    remedy: `switch off what drops foreign sources on the way: ${causes.join('; ')}`,
  });
}

function answeredCheck(evidence: ProbeEvidence, context: ProbeContext): Check {
  const more = targetOf(evidence);
  const { host, port } = evidence.target;
  const kind = answerSeen(evidence);
  if (kind === 'RST') {
    return check('probe', 'answered', 'broken', `${host} refuses port ${port} (RST): nothing listens there`, {
      ...more,
      remedy: `start the service, or another port in --target; on ${host}: ss -Hltn sport = :${port}`,
    });
  }
  if (kind === 'SYN-ACK') {
    const { answer } = evidence;
    const mss = answer !== null && answer.mss > 0 ? `, MSS ${answer.mss}` : '';
    const after = answer === null ? '' : ` after ${answer.afterMs.toFixed(1)} ms`;
    return check('probe', 'answered', 'ok', `SYN-ACK${after}${mss}`, more);
  }
  const arrived = seen(evidence.there, 'SYN', 'in');
  if (context.mode !== 'host' || arrived === undefined || context.after === null) {
    return check('probe', 'answered', 'unknown', 'not observable from here: no answer was seen', more);
  }
  const { text, remedy } = silence(evidence, context.before, context.after, arrived.interface);
  return check('probe', 'answered', 'broken', text, { ...more, remedy });
}

/** The SYN came in, and the target's kernel said nothing. */
function silence(evidence: ProbeEvidence, before: ProbeReport | null, after: ProbeReport, name: string) {
  const { host, port, address } = evidence.target;
  const isIpv4 = address.length === 1;
  const arrival = interfaceOf(after, name);
  const stray = strayRoute(after, evidence.target);
  if (stray !== undefined) return { text: `${host} ${strayText(stray, after)}`, remedy: strayRemedy(host, after) };
  const dropped = after.facts.reversePathDrops - (before?.facts.reversePathDrops ?? 0);
  if (isIpv4 && (arrival?.rpFilter === 1 || (dropped > 0 && arrival?.rpFilter !== 0))) {
    const counted = before !== null && dropped > 0 ? ` (${dropped} packets while the probe ran)` : '';
    return {
      text: `rp_filter=${arrival?.rpFilter ?? 1} on ${name} of ${host} drops packets from clients' addresses${counted}`,
      remedy: `on ${host}: sysctl -w net.ipv4.conf.${sysctlName(name)}.rp_filter=2`,
    };
  }
  const refused = after.facts.listenDrops - (before?.facts.listenDrops ?? 0);
  if (before !== null && refused > 0) {
    return {
      text: `${host} drops SYNs to port ${port}: the service takes no more connections, or has no way back to clients`,
      remedy: `on ${host}: ss -Hltn sport = :${port} (queue), ip route get ${evidence.from} (way back)`,
    };
  }
  return {
    text: `the SYN came in at ${host} by ${name}, which says nothing: a firewall there drops it`,
    remedy: `on ${host}: nft list ruleset, iptables -S`,
  };
}

export function interfaceOf(report: ProbeReport | null, name: string): HostInterface | undefined {
  return report?.facts.interfaces.find((each) => each.name === name);
}

function swallowedCheck(evidence: ProbeEvidence, context: ProbeContext): Check {
  const more = targetOf(evidence);
  const { answer } = evidence;
  const { interception } = context;
  if (answer !== null) return swallowedHere(evidence, context);
  const kind = answerSeen(evidence);
  if (context.mode === 'local' && context.hereFault !== null) {
    return check('probe', 'swallowed', 'broken', `this host cannot look for replies: ${context.hereFault}`, more);
  }
  if (context.mode === 'host') {
    if (kind === null) return noAnswer(evidence, context);
    const drop = context.after?.interface;
    const isSwallowed = evidence.there.some((each) => each.interface === drop && each.way === 'out');
    const text = isSwallowed
      ? `${interception} swallowed the ${kind} and did not hand it over`
      : `the ${kind} did not go into ${interception}`;
    return check('probe', 'swallowed', 'broken', text, { ...more, remedy: servicesRemedy(evidence, context.after) });
  }
  const arrived = evidence.there.find(({ way, kind: what }) => way === 'in' && (what === 'SYN-ACK' || what === 'RST'));
  if (arrived !== undefined) {
    const text = `the ${kind} came to ${interception} by ${arrived.interface} and was not handed over`;
    const remedy =
      arrived.interface === context.after?.interface
        ? servicesRemedy(evidence, context.after)
        : `there: tsintercept -i ${arrived.interface}`;
    return check('probe', 'swallowed', 'broken', text, { ...more, remedy });
  }
  return neverCame(evidence, context, kind);
}

/** On the test server; broken only where no hop before has been found to be. */
function noAnswer(evidence: ProbeEvidence, { after, interception }: ProbeContext): Check {
  const more = targetOf(evidence);
  const { host, port } = evidence.target;
  const isExplained = after !== null && after.fault === null && hasAddress(after, host);
  if (isExplained) return check('probe', 'swallowed', 'unknown', 'no answer to be swallowed', more);
  const text = `no answer came to ${interception}, and it could not be seen how far the SYN got`;
  const remedy = `is tsintercept on ${host} itself? Does the service answer there: ss -Hltn sport = :${port}`;
  return check('probe', 'swallowed', 'broken', text, { ...more, remedy });
}

/** With `local` the workers' rings look at the way out only. */
function swallowedHere(evidence: ProbeEvidence, context: ProbeContext): Check {
  const more = targetOf(evidence);
  const { answer, target, here } = evidence;
  if (context.mode === 'local' && seen(here, answer!.kind, 'in')?.interface !== target.device) {
    const by = seen(here, answer!.kind, 'in')!.interface;
    return check('probe', 'swallowed', 'broken', `replies come in by ${by}, and copies leave by ${target.device}`, {
      ...more,
      remedy: `on ${target.host}: a route to the clients by way of this host's address on ${target.device}`,
    });
  }
  return check('probe', 'swallowed', 'ok', `${context.interception} has it`, more);
}

function servicesRemedy({ target }: ProbeEvidence, after: ProbeReport | null): string {
  const services = after?.services ?? [];
  const isNamed = services.some((text) => text === String(target.port) || text === hostPortText(target));
  if (isNamed) return 'ip rule there: a rule goes before that of tsintercept, or it was taken away (start it again)';
  const wanted = after?.mode === 'assistant' ? hostPortText(target) : String(target.port);
  return `it swallows ${services.join(', ') || 'nothing'} only: tsintercept --service ${wanted}`;
}

/** Assistant, or this host: nothing of the target has come. */
function neverCame(evidence: ProbeEvidence, context: ProbeContext, kind: string | null): Check {
  const more = targetOf(evidence);
  const { host, port, address } = evidence.target;
  const { gateway, interception } = context;
  const family = address.length === 4 ? 'ip -6' : 'ip';
  const line = `${family} route add default via ${gateway ?? 'ADDRESS'}`;
  const spare = evidence.isSpare ? `, or only for clients' networks, and then --probe-from one of their addresses` : '';
  const text =
    kind === null
      ? `no answer came to ${interception}: ${host} has no route there, nothing listens, or the SYN was lost`
      : `the ${kind} was seen, and did not come to ${interception}: ${host} has no route there`;
  const remedy = `on ${host}: ${line}${spare}; ss -Hltn sport = :${port}`;
  return check('probe', 'swallowed', 'broken', text, { ...more, remedy });
}
