/** Values of the options of `tsintercept`. */
import { isIP, isIPv4 } from 'node:net';
import type { ServiceSpec } from '../copy/intercept/spec.ts';
import { type HostPort, usage } from './values.ts';

/** `80`, `10.0.0.9:80`, `[fd00::9]:80`, several with commas between them. */
export function services(value: string, option: string): readonly ServiceSpec[] {
  return value.split(',').map((part) => {
    const match = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(part.trim());
    const address = match?.[1] ?? match?.[2] ?? null;
    const port = Number(match?.[3]);
    if (match === null || port < 1 || port > 65_535 || (address !== null && isIP(address) === 0)) {
      throw usage(`${option} needs [ADDRESS:]PORT,…, as 80,8081 or 10.0.0.9:80,[fd00::9]:80, not "${part}"`);
    }
    return { address, port };
  });
}

/** Networks in CIDR notation, or addresses, several with commas between them. */
export function networks(value: string, option: string): readonly string[] {
  return value.split(',').map((part) => {
    const text = part.trim();
    const [address = '', bits] = text.split('/');
    const most = isIPv4(address) ? 32 : 128;
    const isGood = isIP(address) !== 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most));
    if (!isGood || text.split('/').length > 2) {
      throw usage(`${option} needs networks like 10.1.0.0/16 or fd00::/8, not "${text}"`);
    }
    return `${address}/${bits ?? most}`;
  });
}

/** `36524` (every address of this host), `10.0.0.9:36524`, `[::]:36524`. Port 0: any free one. */
export function listenAddress(value: string, option: string): HostPort {
  const match = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2] ?? '0.0.0.0';
  const port = Number(match?.[3]);
  if (match === null || port > 65_535 || isIP(host) === 0) {
    throw usage(`${option} needs [ADDRESS:]PORT, as 36524 or 10.0.0.9:36524, not "${value}"`);
  }
  return { host, port };
}
