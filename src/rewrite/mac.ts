/** MAC addresses as option values: `A[,B]` by direction, `OLD,NEW[,OLD,NEW…]` substitutions. */
import type { Mac, MacPair, MacSubstitution } from './spec.ts';
import { badValue } from './usage.ts';

const MAC = /^[0-9a-f]{1,2}(?:[:-][0-9a-f]{1,2}){5}$/i;

/** Six bytes, or null where the text is not a MAC address. */
export function macFromText(text: string): Mac | null {
  const trimmed = text.trim();
  if (!MAC.test(trimmed)) return null;
  return trimmed.split(/[:-]/).map((part) => Number.parseInt(part, 16));
}

/** `A`: client-to-server packets only; `A,B`: both; `,B`: server-to-client packets only. */
export function parseMacPair(option: string, text: string): MacPair {
  const parts = text.split(',');
  const expected = 'A, A,B or ,B with MAC addresses as 00:1f:f3:3c:e1:13 (A: client to server, B: server to client)';
  if (parts.length > 2) throw badValue(option, text, expected);
  const macs = parts.map((part) => {
    const mac = macFromText(part);
    if (mac === null && part.trim() !== '') throw badValue(option, text, expected);
    return mac;
  });
  const [clientToServer = null, serverToClient = null] = macs;
  if (clientToServer === null && serverToClient === null) throw badValue(option, text, expected);
  return { clientToServer, serverToClient };
}

export function parseMacSubstitutions(option: string, text: string): readonly MacSubstitution[] {
  const expected = 'OLD,NEW pairs of MAC addresses as 00:1f:f3:3c:e1:13,00:22:33:44:55:66';
  const macs = text.split(',').map((part) => {
    const mac = macFromText(part);
    if (mac === null) throw badValue(option, text, expected);
    return mac;
  });
  if (macs.length % 2 !== 0) throw badValue(option, text, expected);
  const pairs: MacSubstitution[] = [];
  for (let i = 0; i < macs.length; i += 2) pairs.push({ from: macs[i]!, to: macs[i + 1]! });
  return pairs;
}
