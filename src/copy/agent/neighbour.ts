/** Ethernet addresses on the way to a target. */
import { OperatorError } from '../../base/errors.ts';
import { openMacResolver } from '../../device/addressing.ts';

/** Twelve bytes: the next hop's address, then the interface's own. Throws ADDRESS where nobody answers. */
export function macsOf(device: string, host: string): Uint8Array {
  const resolver = openMacResolver(device);
  let destination: Uint8Array;
  try {
    destination = resolver.destination(host);
  } catch (cause) {
    throw new OperatorError('ADDRESS', `the next hop to ${host} on ${device} does not answer: is it up? ip neighbour`, {
      cause,
    });
  }
  const macs = new Uint8Array(12);
  macs.set(destination);
  macs.set(resolver.source, 6);
  return macs;
}
