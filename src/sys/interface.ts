/**
 * Network interfaces as the kernel's ioctls and /proc describe them. Both answer for the network namespace of this
 * thread, which /sys does only where somebody has mounted it anew (`unshare -n` does not).
 */
import fs from 'node:fs';
import os from 'node:os';
import { OperatorError } from '../base/errors.ts';
import { describeErrno, Errno } from './errno.ts';
import {
  AF_INET,
  ETHTOOL_GGRO,
  ETHTOOL_GGSO,
  ETHTOOL_GSET,
  ETHTOOL_GTSO,
  ETHTOOL_GTXCSUM,
  EthtoolCmd,
  EthtoolValue,
  IFF_LOOPBACK,
  IFF_RUNNING,
  IFF_UP,
  Ifreq,
  LITTLE_ENDIAN,
  SIOCETHTOOL,
  SIOCGIFFLAGS,
  SIOCGIFHWADDR,
  SIOCGIFINDEX,
  SIOCGIFMTU,
  SIOCSIFFLAGS,
  SOCK_DGRAM,
} from './layout.ts';
import { dataAddress } from './libc.ts';
import { closeSocket, interfaceRequest, ioctl, openSocket } from './socket.ts';

/** Longest interface name in bytes (IFNAMSIZ less its NUL, include/uapi/linux/if.h). */
export const INTERFACE_NAME_MAX: number = Ifreq.NAME_BYTES - 1;

export interface InterfaceFacts {
  readonly name: string;
  readonly ifindex: number;
  readonly up: boolean;
  /** IFF_RUNNING: the link has carrier. */
  readonly carrier: boolean;
  readonly loopback: boolean;
  /** Bytes of IP packet; the link-layer header comes on top. */
  readonly mtu: number;
  /** ARPHRD_ number, include/uapi/linux/if_arp.h. */
  readonly hardwareType: number;
  /** Six bytes; zeros where the interface has none. */
  readonly mac: Uint8Array;
}

/** What the kernel may leave for the device to do; null where the driver does not say. */
export interface Offloads {
  readonly tso: boolean | null;
  readonly gso: boolean | null;
  readonly gro: boolean | null;
  readonly txChecksum: boolean | null;
}

/** Facts of one interface, or null where there is none of that name. */
export function interfaceFacts(name: string): InterfaceFacts | null {
  if (name.length === 0 || name.length > INTERFACE_NAME_MAX) return null;
  if (process.platform !== 'linux') return portableFacts(name);
  return withControlSocket((fd) => {
    const ask = (request: number): DataView | null => {
      const argument = interfaceRequest(name);
      const result = ioctl(fd, request, argument);
      if (result === -Errno.ENODEV || result === -Errno.ENXIO) return null;
      if (result < 0)
        throw new OperatorError('SYSTEM', `cannot ask about interface ${name}: ${describeErrno(-result)}`);
      return new DataView(argument.buffer);
    };
    const index = ask(SIOCGIFINDEX);
    const flagsView = ask(SIOCGIFFLAGS);
    const mtu = ask(SIOCGIFMTU);
    const hardware = ask(SIOCGIFHWADDR);
    if (index === null || flagsView === null || mtu === null || hardware === null) return null;
    const flags = flagsView.getUint16(Ifreq.VALUE, LITTLE_ENDIAN);
    return {
      name,
      ifindex: index.getInt32(Ifreq.VALUE, LITTLE_ENDIAN),
      up: (flags & IFF_UP) !== 0,
      carrier: (flags & IFF_RUNNING) !== 0,
      loopback: (flags & IFF_LOOPBACK) !== 0,
      mtu: mtu.getInt32(Ifreq.VALUE, LITTLE_ENDIAN),
      hardwareType: hardware.getUint16(Ifreq.VALUE, LITTLE_ENDIAN),
      mac: new Uint8Array(hardware.buffer, Ifreq.VALUE + 2, 6).slice(),
    };
  });
}

/** What Node knows of an interface: enough for libpcap, which finds out the rest when it opens it. */
function portableFacts(name: string): InterfaceFacts | null {
  const first = os.networkInterfaces()[name]?.[0];
  if (first === undefined) return null;
  return {
    name,
    ifindex: 0,
    up: true,
    carrier: true,
    loopback: first.internal,
    mtu: 1500,
    hardwareType: 1,
    mac: Uint8Array.from(first.mac.split(':'), (part) => Number.parseInt(part, 16)),
  };
}

/** Sets an interface up. Returns 0, or the errno (EPERM without CAP_NET_ADMIN). */
export function bringInterfaceUp(name: string): number {
  return withControlSocket((fd) => {
    const request = interfaceRequest(name);
    const got = ioctl(fd, SIOCGIFFLAGS, request);
    if (got < 0) return -got;
    const view = new DataView(request.buffer);
    view.setUint16(Ifreq.VALUE, view.getUint16(Ifreq.VALUE, LITTLE_ENDIAN) | IFF_UP, LITTLE_ENDIAN);
    const set = ioctl(fd, SIOCSIFFLAGS, request);
    return set < 0 ? -set : 0;
  });
}

/** Asks the driver through SIOCETHTOOL. */
export function interfaceOffloads(name: string): Offloads {
  if (process.platform !== 'linux') return { tso: null, gso: null, gro: null, txChecksum: null };
  return withControlSocket((fd) => {
    const ask = (command: number): boolean | null => {
      const value = new Uint8Array(EthtoolValue.SIZE);
      const valueView = new DataView(value.buffer);
      valueView.setUint32(EthtoolValue.CMD, command, LITTLE_ENDIAN);
      const request = interfaceRequest(name);
      const address = dataAddress(value);
      const view = new DataView(request.buffer);
      view.setUint32(Ifreq.VALUE, address >>> 0, LITTLE_ENDIAN);
      view.setUint32(Ifreq.VALUE + 4, Math.floor(address / 0x1_0000_0000), LITTLE_ENDIAN);
      if (ioctl(fd, SIOCETHTOOL, request) < 0) return null;
      return valueView.getUint32(EthtoolValue.DATA, LITTLE_ENDIAN) !== 0;
    };
    return {
      tso: ask(ETHTOOL_GTSO),
      gso: ask(ETHTOOL_GGSO),
      gro: ask(ETHTOOL_GGRO),
      txChecksum: ask(ETHTOOL_GTXCSUM),
    };
  });
}

/** Megabits a second as the driver says; null where it says nothing (virtual, no carrier). */
export function interfaceSpeedMbps(name: string): number | null {
  if (process.platform !== 'linux') return null;
  return withControlSocket((fd) => {
    const command = new Uint8Array(new ArrayBuffer(EthtoolCmd.SIZE));
    const commandView = new DataView(command.buffer);
    commandView.setUint32(EthtoolCmd.CMD, ETHTOOL_GSET, LITTLE_ENDIAN);
    const request = interfaceRequest(name);
    const address = dataAddress(command);
    const view = new DataView(request.buffer);
    view.setUint32(Ifreq.VALUE, address >>> 0, LITTLE_ENDIAN);
    view.setUint32(Ifreq.VALUE + 4, Math.floor(address / 0x1_0000_0000), LITTLE_ENDIAN);
    if (ioctl(fd, SIOCETHTOOL, request) < 0) return null;
    const high = commandView.getUint16(EthtoolCmd.SPEED_HIGH, LITTLE_ENDIAN);
    const speed = high * 0x1_0000 + commandView.getUint16(EthtoolCmd.SPEED, LITTLE_ENDIAN);
    return speed === 0 || speed >= 0x7fff_ffff || speed === 0xffff ? null : speed;
  });
}

/** Counters of an interface since it exists. */
export interface InterfaceCounters {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

/** Counters of every interface by name; empty where the platform has no /proc. */
export function interfaceCounters(): Map<string, InterfaceCounters> {
  const found = new Map<string, InterfaceCounters>();
  for (const line of readNetDev().split('\n')) {
    const match = /^\s*([^:]+|\S+:\d+):\s*(\d[\d\s]*)$/.exec(line);
    if (match === null) continue;
    const n = match[2]!.trim().split(/\s+/).map(Number);
    found.set(match[1]!, {
      rxBytes: n[0] ?? 0,
      rxPackets: n[1] ?? 0,
      rxErrors: n[2] ?? 0,
      rxDropped: n[3] ?? 0,
      txBytes: n[8] ?? 0,
      txPackets: n[9] ?? 0,
      txErrors: n[10] ?? 0,
      txDropped: n[11] ?? 0,
    });
  }
  return found;
}

function readNetDev(): string {
  for (const path of ['/proc/thread-self/net/dev', '/proc/net/dev']) {
    try {
      return fs.readFileSync(path, 'utf8');
    } catch {
      // the next path, then none
    }
  }
  return '';
}

function withControlSocket<T>(use: (fd: number) => T): T {
  const fd = openSocket(AF_INET, SOCK_DGRAM, 0, 'a control socket');
  try {
    return use(fd);
  } finally {
    closeSocket(fd);
  }
}
