/**
 * Frames in the framing of their device: the link header off for an IP interface, an Ethernet header on for a capture
 * that has none, from the addresses that the operator gave or from this host's routes and neighbours.
 */
import type { FrameBatch } from '../base/batch.ts';
import { type MacResolver, openMacResolver } from '../device/addressing.ts';
import type { Sink } from '../device/sink.ts';
import { encapsulationOf, FRAMING_DEFAULTS, Framer, type ResolveMac } from '../rewrite/framing.ts';
import { type Direction, Edit } from '../rewrite/rewriter.ts';
import type { MacPair } from '../rewrite/spec.ts';
import { ipv4Dst } from '../wire/ipv4.ts';
import { ipv6DstWord } from '../wire/ipv6.ts';
import { Linktype } from '../wire/linktype.ts';
import type { Adapter } from './prepare.ts';
import type { OutputSpec, ReplaySpec } from './spec.ts';

const NO_MACS: MacPair = { clientToServer: null, serverToClient: null };

/** The adapter for one output. `growBytes`: headroom that the edits may have used. */
export function openAdapter(spec: ReplaySpec, output: OutputSpec, sink: Sink, growBytes: number): Adapter {
  const linktype = sink.limits.linktype;
  const framer = new Framer({
    ...FRAMING_DEFAULTS,
    encapsulation: encapsulationOf(linktype),
    linktype,
    destinationMac: spec.rewrite?.destinationMac ?? NO_MACS,
    sourceMac: sourceOf(spec, output, linktype),
    resolveMac: output.kind === 'interface' && linktype === Linktype.EN10MB ? resolver(output.name) : null,
    headroomUsedBytes: growBytes,
  });
  return {
    adapt(batch: FrameBatch, i: number, direction: Direction) {
      if (batch.linktype[i] === linktype) return Edit.Unchanged;
      return framer.toLinktype(batch, i, direction) === Edit.Edited ? Edit.Edited : Edit.SoftError;
    },
  };
}

/** The interface's own address unless the operator gave one. */
function sourceOf(spec: ReplaySpec, output: OutputSpec, linktype: number): MacPair {
  const given = spec.rewrite?.sourceMac ?? NO_MACS;
  if (given.clientToServer !== null || output.kind !== 'interface' || linktype !== Linktype.EN10MB) return given;
  const own = [...openMacResolver(output.name).source];
  return { clientToServer: own, serverToClient: given.serverToClient ?? own };
}

/** Destinations as numbers -> addresses, asked for once each. */
function resolver(name: string): ResolveMac {
  let resolver: MacResolver | null = null;
  const known = new Map<number, Uint8Array>();
  return (view, ip, version, out) => {
    resolver ??= openMacResolver(name);
    if (version === 4) {
      const address = ipv4Dst(view, ip);
      let mac = known.get(address);
      if (mac === undefined) {
        mac = resolver.destination(ipv4Text(address));
        known.set(address, mac);
      }
      out.set(mac);
      return true;
    }
    out.set(resolver.destination(ipv6Text(view, ip)));
    return true;
  };
}

function ipv4Text(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

function ipv6Text(view: DataView, ip: number): string {
  const groups: string[] = [];
  for (let word = 0; word < 4; word++) {
    const value = ipv6DstWord(view, ip, word);
    groups.push((value >>> 16).toString(16), (value & 0xffff).toString(16));
  }
  return groups.join(':');
}
