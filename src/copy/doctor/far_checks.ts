/** What stands against copying on the far side of the tunnel, as it describes itself. Pure. */
import { sysctlName } from '../../device/link.ts';
import type { AgentSpec, AgentTarget } from '../agent/spec.ts';
import type { HostInterface, ProbeReport } from '../tunnel/probe.ts';
import type { Welcome } from '../tunnel/protocol.ts';
import { type Check, check, hostPortText } from './check.ts';
import { hasAddress } from './context.ts';
import type { ClockReading } from './far_end.ts';
import { strayRemedy, strayRoute, strayText } from './stray.ts';
import { serviceOf } from './watch.ts';

/** Above it the logs of both hosts cannot be compared. */
const CLOCK_MS_MAX = 1_000;

export function tunnelChecks(
  { where }: { readonly where: string },
  welcome: Welcome,
  clock: ClockReading | null,
): readonly Check[] {
  const reached = `tsintercept at ${where}, mode ${welcome.mode}: same key, same version`;
  const checks = [check('tunnel', 'reached', 'ok', reached)];
  if (clock === null) {
    checks.push(check('tunnel', 'clock', 'unknown', 'not observable from here: it did not tell its time'));
    return checks;
  }
  const { offsetMs, roundTripMs } = clock;
  checks.push(check('tunnel', 'round trip', 'ok', `${roundTripMs.toFixed(1)} ms`));
  const by = `${(Math.abs(offsetMs) / 1000).toFixed(3)} s`;
  if (Math.abs(offsetMs) <= CLOCK_MS_MAX) checks.push(check('tunnel', 'clock', 'ok', `${by} apart`));
  else {
    const text = `its clock is ${by} ${offsetMs > 0 ? 'ahead' : 'behind'}: logs of the two cannot be compared`;
    checks.push(check('tunnel', 'clock', 'warning', text, { remedy: 'on both hosts: timedatectl set-ntp true' }));
  }
  return checks;
}

/** `report`: what it said when the probe began or ended. */
export function farChecks(
  spec: Pick<AgentSpec, 'targets'>,
  report: ProbeReport | null,
  where: string,
): readonly Check[] {
  if (report === null) {
    return [check('far side', 'settings', 'unknown', `not observable from here: ${where} did not describe itself`)];
  }
  const checks = spec.targets.map((target) => servicesCheck(target, report));
  if (report.mode === 'host') {
    checks.push(...spec.targets.flatMap((target) => hostChecks(target, report)));
  } else checks.push(...assistantChecks(report));
  checks.push(...spec.targets.flatMap((target) => mtuCheck(target, report)));
  return distinct(checks);
}

function servicesCheck(target: AgentTarget, { services }: ProbeReport): Check {
  const own = hostPortText(target);
  const isNamed = services.some((text) => text === String(target.port) || text === own);
  const text = `tsintercept swallows replies of ${services.join(', ')}`;
  if (isNamed) return check('far side', 'service', 'ok', text);
  return check('far side', 'service', 'warning', `${text}, not of ${own}`, {
    target: own,
    remedy: `tsintercept --service ${target.port}, unless that is the port of a container behind it`,
  });
}

/** The interface by which copies come in: the one that the probe took, else that of the target's address. */
function arrivalOf({ host, port }: AgentTarget, { facts, sightings }: ProbeReport): HostInterface | undefined {
  const service = serviceOf(host, port);
  const probed = sightings.find((each) => each.kind === 'SYN' && each.way === 'in' && each.service === service);
  if (probed !== undefined) return facts.interfaces.find(({ name }) => name === probed.interface);
  return facts.interfaces.find(({ addresses }) => addresses.includes(host));
}

function hostChecks(target: AgentTarget, report: ProbeReport): readonly Check[] {
  const { host } = target;
  const checks: Check[] = [];
  if (!hasAddress(report, host)) {
    const text = `tsintercept runs on a host that does not have the address ${host}, and swallows nothing of it`;
    const remedy = `start it on ${host}, or with --mode assistant where ${host}'s replies are routed to`;
    checks.push(check('far side', 'address', 'warning', text, { remedy, target: hostPortText(target) }));
  }
  const stray = strayRoute(report, target);
  if (stray !== undefined) {
    const remedy = strayRemedy(host, report);
    checks.push(check('far side', 'replies', 'broken', `${host} ${strayText(stray, report)}`, { remedy }));
  } else if (report.replyRoutes.length > 0) {
    checks.push(check('far side', 'replies', 'ok', `${host} routes them into ${report.interface}`));
  }
  const arrival = arrivalOf(target, report);
  if (arrival === undefined) return checks;
  const { name, rpFilter, forwards4, forwards6 } = arrival;
  if (target.address.length === 1) {
    const remedy = `on ${host}: sysctl -w net.ipv4.conf.${sysctlName(name)}.rp_filter=2`;
    if (rpFilter === 1) {
      const text = `rp_filter=1 on ${name} of ${host} drops packets from clients' addresses`;
      checks.push(check('far side', 'rp_filter', 'broken', text, { remedy }));
    } else
      checks.push(check('far side', 'rp_filter', 'ok', `rp_filter=${rpFilter ?? 'unknown'} on ${name} of ${host}`));
  }
  const forwards = target.address.length === 1 ? forwards4 : forwards6;
  const text = `forwarding=${forwards ?? 'unknown'} on ${name} of ${host}: replies go into ${report.interface} before`;
  checks.push(check('far side', 'ip_forward', 'ok', text));
  return checks;
}

function assistantChecks({ facts, interface: name }: ProbeReport): readonly Check[] {
  const own = facts.interfaces.find((each) => each.name === name);
  if (own === undefined) {
    const text = `${name} of the assistant is down`;
    return [check('far side', 'interface', 'broken', text, { remedy: `on the assistant: ip link set ${name} up` })];
  }
  const families = [
    ['net.ipv4.conf', own.forwards4],
    ['net.ipv6.conf', own.forwards6],
  ] as const;
  return families.flatMap(([key, forwards]) => {
    if (forwards === null) return [];
    const text = `${key}.${name}.forwarding=${forwards} on the assistant`;
    if (forwards === 0) return [check('far side', 'ip_forward', 'ok', `${text}: replies end there`)];
    const remedy = `on the assistant: sysctl -w ${key}.${name}.forwarding=0`;
    return [check('far side', 'ip_forward', 'broken', `${text} sends replies on to the clients`, { remedy })];
  });
}

function mtuCheck(target: AgentTarget, report: ProbeReport): readonly Check[] {
  const arrival = arrivalOf(target, report);
  if (arrival === undefined) return [];
  const text = `${arrival.mtu} at ${target.host}, ${target.mtu} on the way out here`;
  if (arrival.mtu >= target.mtu) return [check('far side', 'MTU', 'ok', text)];
  return [check('far side', 'MTU', 'warning', `${text}: long packets may be lost`, { remedy: `--mtu ${arrival.mtu}` })];
}

/** Several targets of one host say the same. */
function distinct(checks: readonly Check[]): readonly Check[] {
  return [...new Map(checks.map((each) => [`${each.name} ${each.text}`, each])).values()];
}
