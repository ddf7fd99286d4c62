/**
 * What stands against sending on an interface, found before the first packet leaves. What makes it impossible is
 * thrown, one sentence with the line that mends it; what may merely surprise is returned.
 */
import { OperatorError } from '../base/errors.ts';
import { interfaceOffloads, type Offloads } from '../sys/interface.ts';
import { hasIp } from '../sys/ip.ts';
import { type Capability, hasCapability, permissionRemedy } from '../sys/permission.ts';
import { type LinkFacts, linkCounters, linkFacts } from './link.ts';

export interface PreflightFinding {
  readonly code: 'NO_CARRIER';
  /** One sentence with the remedy. */
  readonly message: string;
}

export interface PreflightNeeds {
  /** Capability that the backend needs; null = none. Default CAP_NET_RAW. */
  readonly capability?: Capability | null;
  /** Routes and neighbours will be asked for: the program `ip` must be there. Default false. */
  readonly addressing?: boolean;
}

export interface PreflightReport {
  readonly link: LinkFacts;
  readonly offloads: Offloads;
  readonly findings: readonly PreflightFinding[];
}

/** Checks one interface. Throws INTERFACE, PERMISSION or UNSUPPORTED. */
export function preflight(name: string, needs: PreflightNeeds = {}): PreflightReport {
  const link = linkFacts(name);
  if (!link.up) throw new OperatorError('INTERFACE', `${name} is down: ip link set ${name} up`);
  const capability = needs.capability === undefined ? 'CAP_NET_RAW' : needs.capability;
  if (capability !== null && !hasCapability(capability)) {
    throw new OperatorError('PERMISSION', `no permission to send on ${name}: ${permissionRemedy(capability)}`);
  }
  if (needs.addressing === true && !hasIp()) {
    throw new OperatorError(
      'UNSUPPORTED',
      'the program ip is not installed, so routes and neighbours are unknown: ' +
        'apt-get install iproute2, or give --enet-dmac',
    );
  }
  const findings: PreflightFinding[] = [];
  if (!link.carrier) {
    findings.push({
      code: 'NO_CARRIER',
      message: `${name} has no carrier, so packets may be dropped: plug in the cable, or set the other end up`,
    });
  }
  return { link, offloads: interfaceOffloads(name), findings };
}

/** What an interface says it did with frames since it exists. */
export interface WireCount {
  /** Frames that left. TAP and TUN: frames that came in from us, as they count from the host's side. */
  readonly packets: number;
  readonly dropped: number;
}

/** Transmit counters of an interface now (`received`: its receive counters, for TAP and TUN); null where it is gone. */
export function wireCounters(name: string, received = false): WireCount | null {
  const counters = linkCounters(name);
  if (counters === null) return null;
  return received
    ? { packets: counters.rxPackets, dropped: counters.rxDropped + counters.rxErrors }
    : { packets: counters.txPackets, dropped: counters.txDropped + counters.txErrors };
}

/** Difference of two readings; null where one is missing, or the interface was made anew in between. */
export function wireDifference(before: WireCount | null, after: WireCount | null): WireCount | null {
  if (before === null || after === null) return null;
  const difference = { packets: after.packets - before.packets, dropped: after.dropped - before.dropped };
  return difference.packets < 0 || difference.dropped < 0 ? null : difference;
}
