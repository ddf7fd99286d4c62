/** The options of the probe: of `tscopy`, which sends one when it starts, and of `tscopy doctor`. */
import { isIP } from 'node:net';
import type { OptionGroup } from './option_table.ts';
import { usage } from './values.ts';

export const PROBE: OptionGroup = {
  heading: 'Probe',
  rows: [
    {
      name: 'probe-from',
      value: 'ADDRESS[,...]',
      parse: addressList,
      help: `Address, one for each IP version, that the SYN of the probe comes from: one that is routed as clients' are,
        and that nobody uses`,
      default: 'one of 192.0.2.0/24 or 2001:db8::/32, which are for documentation; of --client-pool, where it is given',
    },
    {
      name: 'no-probe',
      help: `Start without a probe, and so without a look for replies that reach clients. "tscopy doctor" probes
        anyway`,
    },
  ],
};

/** `192.0.2.7`, `192.0.2.7,2001:db8::7`. */
function addressList(value: string, option: string): readonly string[] {
  const addresses = value.split(',').map((part) => part.trim());
  const wrong = addresses.find((address) => isIP(address) === 0);
  if (wrong !== undefined) throw usage(`${option} needs IP addresses, as 192.0.2.7, not "${wrong}"`);
  const families = new Set(addresses.map((address) => isIP(address)));
  if (families.size < addresses.length) throw usage(`${option} takes one address of each IP version`);
  return addresses;
}
