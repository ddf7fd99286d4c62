/** Capabilities of this process, and what an operator types when one is missing. */
import fs from 'node:fs';

/** Bits of include/uapi/linux/capability.h. */
const CAPABILITY_BIT = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_SYS_ADMIN: 21,
  CAP_BPF: 39,
  CAP_SYS_NICE: 23,
} as const;
export type Capability = keyof typeof CAPABILITY_BIT;

/** Whether the effective set holds the capability; true where the platform has none (the system call decides). */
export function hasCapability(capability: Capability, statusPath = '/proc/self/status'): boolean {
  let status: string;
  try {
    status = fs.readFileSync(statusPath, 'utf8');
  } catch {
    return true;
  }
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (hex === undefined) return true;
  return ((BigInt(`0x${hex}`) >> BigInt(CAPABILITY_BIT[capability])) & 1n) === 1n;
}

/** What to type: "run with sudo, or once: sudo setcap cap_net_raw+ep /usr/bin/node". */
export function permissionRemedy(...capabilities: Capability[]): string {
  if (process.platform !== 'linux') return 'run with sudo';
  const list = capabilities.map((name) => name.toLowerCase()).join(',');
  return `run with sudo, or once: sudo setcap ${list}+ep ${process.execPath}`;
}
