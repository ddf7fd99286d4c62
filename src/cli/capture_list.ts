/** `tscap --list`: one line for each interface, as columns. */
import type { ListedInterface } from '../device/interface_list.ts';

export function interfaceLines(interfaces: readonly ListedInterface[]): string[] {
  const rows = [['interface', 'state', 'speed', 'mtu', 'mac', 'offloads', 'addresses']];
  for (const one of interfaces) {
    const state = !one.up ? 'down' : one.carrier ? 'up' : 'no carrier';
    const speed =
      one.speedMbps === null ? '-' : one.speedMbps >= 1000 ? `${one.speedMbps / 1000}G` : `${one.speedMbps}M`;
    const on = Object.entries({
      tso: one.offloads.tso,
      gso: one.offloads.gso,
      gro: one.offloads.gro,
      tx: one.offloads.txChecksum,
    });
    const offloads = on.flatMap(([name, isOn]) => (isOn === true ? [name] : [])).join(',');
    const mac = one.loopback || /^[0:]+$/.test(one.mac) ? '-' : one.mac;
    rows.push([one.name, state, speed, String(one.mtu), mac, offloads || '-', one.addresses.join(' ') || '-']);
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}

/** The interface where none is named, as in tcpdump: the first that is up and no loopback; null: none. */
export function firstInterface(interfaces: readonly ListedInterface[]): string | null {
  const usable = interfaces.filter((one) => one.up && !one.loopback);
  return (usable.find((one) => one.carrier) ?? usable[0] ?? interfaces.find((one) => one.up))?.name ?? null;
}
