/** The ways onto an interface, by name, and which one a bare interface name means. */
import { interfaceExists } from './link.ts';

export const INTERFACE_BACKENDS = [
  'af_packet',
  'af_xdp',
  'tx_ring',
  'raw_ip',
  'raw_socket',
  'libpcap',
  'tap',
  'tun',
] as const;
export type InterfaceBackend = (typeof INTERFACE_BACKENDS)[number];

/**
 * The backend for an interface name: AF_PACKET on Linux, libpcap elsewhere. A name that starts with `tap` or `tun` and
 * that no interface has means that the device is to be made, as in tcpreplay.
 */
export function chooseBackend(name: string): InterfaceBackend {
  if (process.platform !== 'linux') return 'libpcap';
  if (/^(tap|tun)/.test(name) && !interfaceExists(name)) return name.startsWith('tap') ? 'tap' : 'tun';
  return 'af_packet';
}
