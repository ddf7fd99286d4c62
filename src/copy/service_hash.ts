/** HOT: production's address and port as one number: what a session's packets, both ways, have in common. */
import { mixEnd, mixWord } from '../flow/hash.ts';

/** `addressAt`: offset of the service's address, of 4 or 16 bytes. */
export function hashService(view: DataView, addressAt: number, addressBytes: number, port: number): number {
  let h = port;
  for (let i = 0; i < addressBytes; i += 4) h = mixWord(h, view.getUint32(addressAt + i));
  return mixEnd(h) | 0;
}
